"""What `serin rollout` needs: which cluster, an engine, and words for what happens.

target  the cluster that is meant, and an engine for it
follow  what happens, line by line until it is over
shown   a rollout in words
"""
