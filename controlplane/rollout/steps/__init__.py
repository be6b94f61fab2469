"""What a rollout does next: a function of where it is and what the cluster is like. Pure.

machine            the next step
state              where a rollout is: all that an engine must know to continue
seen               what the cluster is like, read from its objects
acts               what may be done, as data
edits              what other people changed meanwhile
mirror, scaling    the objects that a rollout makes: the mirroring HTTPRoute, the ScaledObject

`effects`, `start` and the engine come in. It knows verdicts and plans, and no client of a cluster.
"""
