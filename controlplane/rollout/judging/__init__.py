"""The verdict on a step of a rollout, from what both versions did since it began. Pure.

evidence      counts of both versions: the queries, and their sense
statistics    sequential tests that may be looked at after every request
judgement     each guard with its numbers, and what follows: continue, hold, abort
answers       what both versions answered to the same mirrored requests
shadow        the verdict on a canary that no user sees yet

`steps`, `effects` and the engine come in. It knows the plan of a rollout, and no cluster.
"""
