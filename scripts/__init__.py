"""The verbs people type: one module a verb, found by cli.py by file name."""
