"""The platform's own library: what the verbs use, and nothing a pod needs."""
