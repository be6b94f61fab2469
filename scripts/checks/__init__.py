"""What `serin check` runs, one module a group: tools of others, and rules of this repository."""
