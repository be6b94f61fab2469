"""The process around a model: flags, settings, ports, workers, the order of start and stop.

serve            `serve(Model)`: the server, from load to drain
engine           from a loaded model to the service that answers with it
engines          several of them side by side, where a channel is followed
settings         PREDICTOR_… variables
memory           the memory limit, and how much of it may be held for clients
ports            sockets, reserved before the model loads
workers          forks that share the ports
artificial_load  makes a model slow on purpose, for load tests

Comes in: models, by `predictors.runtime`. It knows every other room.
"""
