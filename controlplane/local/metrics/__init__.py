"""The platform's own metrics, and what Prometheus scrapes.

monitoring     Prometheus' targets, kept up to date
exporter       /metrics: what kube-state-metrics tells in a cluster
objectmetrics  what is told of HPAs, canaries and ScaledObjects
pushgateway    what trainings and rollouts push

The supervisor comes in. It knows plans, objects and the node's Prometheus.
"""
