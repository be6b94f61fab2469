"""What admission webhooks refuse, as pure functions with their messages."""
