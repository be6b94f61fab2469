"""What `serin simulate` is made of.

load      a curve of requests a second, built in or from a file
signals   what a trigger's metric says, computed from the simulated pods or recorded
service   pods that serve a queue, one request at a time
replay    the rule against the load, second by second
outcome   what came of it: latency, misses, replica-hours
picture   the outcome as an SVG
"""
