"""One module a peer, each with a PEER; what runs in its own environment is in servers/.

serin                        the predictor as its container starts it
kserve                       stock KServe
mlserver, mlserver_batching  MLServer, and with its adaptive batching
echo                         the floor: a server that sends the body back
"""
