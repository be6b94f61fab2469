"""The verbs about models: their versions, and requests to them; one module each.

runs                 list, compare and cancel trainings
train, publish       make a version here, or of a file of your own
models               list, compare, verify and delete versions
rollout, rollback    from one version to another, step by step or back at once
channel              all replicas from one version to another, at one instant
infer, chat, load    one request, a conversation, or many at a fixed rate
simulate             a scaling rule on a load curve, without a platform

cli finds them by file name. What a large one needs is in a folder of scripts; none imports another.
"""
