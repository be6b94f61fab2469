"""The verbs that start, stop and look at the platform on this machine; one module each.

up, down       start and stop it
status, top    what is served, and how it does now
logs, env      what it printed, and how kubectl finds it
dashboards     the same figures for Grafana, or drawn here

cli finds them by file name. They speak to the platform as a client and import none of each other.
"""
