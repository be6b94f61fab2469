"""How the platform's state looks on a terminal, and in a log."""
