"""The verbs people type, one module each, and what they share.

platform/    what runs here: up, down, status, top, logs, env, dashboards
serving/     models, their versions and requests: train, publish, models, rollout, rollback, infer,
             chat, load, simulate
develop/     this repository: new, remove, check, test, bench, install
values       values told from options
where        the options that say which cluster
modules      a module of this repository as a process
outline      a training script's flags, read without its libraries

A verb is a module of one of the three rooms with a click command named `command`; its first line
is its line of the help. cli comes in, and nobody else. Verbs are unaware of each other.
"""
