"""Guarded rollouts: a canary judged by sequential tests, on the Kubernetes API and PromQL alone.

start        the beginning, written down for an engine
engine       the loop: look, judge, decide, act, write down; `python -m controlplane.rollout MODEL`
effects/     all that touches a cluster: its API, pods' logs, the Lease, the Pushgateway
steps/       what the next step is: a function of where the rollout is and what the cluster is like
judging/     the verdict on a step: counts, sequential tests, what follows
plan         what a rollout is to do

The verb `rollout` comes in at `start`, `plan` and the Lease. It knows no laptop and no setup of a
cluster; steps, judging and plan know no clock, file or network.
"""
