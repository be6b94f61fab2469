"""Serin beside its peers on one machine: servers on one core, the load on another, ratios first.

A ratio is taken within one round, so what disturbs the machine disturbs both of its sides. Any
error or wrong answer, of whichever peer, makes the run no result.

session                     one `serin bench`
measure, overload, soak     what is run: rounds of all peers, past capacity, for minutes
texts                       one `serin bench` of a text model: its question is nli, causal_lm or of
                            language/; beside_stock and first_token are what they share
peer, peers/, servers/      the ways to serve a model, one file each; servers run in processes
language/                   causal-lm beside llama.cpp, and beside its own weights
before                      Serin at an earlier commit as a peer
artifacts, repository       what is served, and where files lie
errors                      what keeps a run from being a result
traffic/                    what is asked, and the generators of load
serving/                    a server of the run: environment, process, cores
result/                     figures, tables, picture, JSON

The verb `bench` comes in at `session` and `texts`. Of other rooms it knows the client of scripts.
"""
