"""A channel: which version all replicas of a model serve, and since which instant.

document  what the store holds: the committed generation, and the one that is prepared
replica   what one replica does about it: a state machine without clock, files or network

Comes in: process. The writer is the control plane's (controlplane/store/channels), which never
imports this; tests/unit/channel hold the two to each other.
"""
