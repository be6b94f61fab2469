"""A scaling rule against a load or a recorded metric, minutes of it in a moment.

load      a curve of requests a second, built in or from a file
service   pods that serve a queue, one request at a time
signals   what a trigger's metric says, computed from the simulated pods or recorded
replay    the rule against the load, second by second
outcome   what came of it: latency, misses, replica-hours

`serin simulate` and the console's page of a ScaledObject come in. The rule itself is autoscale's.
"""
