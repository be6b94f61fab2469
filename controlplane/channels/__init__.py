"""Who writes a channel: prepare a version on every replica, then commit it at one instant.

lease       one writer of a channel at a time, by the Kubernetes API
pods        which pods follow a channel, and which of them are ready
writer      prepare everywhere, then commit; or go back
comparison  both versions' answers, before a commit

`serin channel`, a training's end and the console come in. What a channel is: store.channels.
"""
