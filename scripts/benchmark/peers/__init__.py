"""One module a peer, each with a PEER; what runs in its own environment is in servers/."""
