"""Trainings as `serin train --job` and `serin runs` see them: Jobs that are there, records of all.

start     a Job of a model's manifests, with flags and a name for who started it
listed    Jobs and records as one list
follow    a Job's progress, until it is over
shown     a run in a table, in lines, beside another

Verbs come in. It knows the rooms rollouts (for the cluster that is meant) and show.
"""
