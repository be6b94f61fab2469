"""Serin beside its peers on one machine: servers on one core, the load on another, ratios first.

A ratio is taken within one round, so what disturbs the machine disturbs both of its sides. Any
error or wrong answer, of whichever peer, makes the run no result.
"""
