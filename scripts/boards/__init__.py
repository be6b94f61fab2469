"""Grafana's dashboards, as Python.

panel      a dashboard's rows, panels and queries, without Grafana
overview rollout autoscaling training    the four dashboards
grafana    a dashboard as Grafana's JSON, by Grafana's own builders
live       a dashboard's queries asked of a Prometheus, as values and as a picture
"""
