"""A channel: which version all replicas of a model serve, and since which instant.

document  what the store holds: the committed generation, and the one that is prepared
replica   what one replica does about it: a state machine without clock, files or network
store     the channel's objects in S3; obstore is imported here alone, where a channel is followed
follower  polls, prepares, reports and switches, by the machine's word

Comes in: process, whose `engines` it acts on. It knows artifact. The writer is the control plane's
(controlplane/store/channels), which never imports this; tests/unit/channel hold the two to each
other.
"""
