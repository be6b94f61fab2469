"""Programs of peers that have none of their own; each runs alone, in the peer's environment."""
