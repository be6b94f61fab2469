"""What verbs share: how values are told from options, and which platform and model is meant."""
