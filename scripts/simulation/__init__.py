"""What `serin simulate` prints of a replay, and what the rollouts' documents print of theirs.

report    the outcome in words and numbers
picture   the outcome as an SVG
rollouts  the judgement of rollouts against versions that are the same, and worse
shadows   the comparison of answers likewise
"""
