"""Errors whose text is meant for the person at the keyboard.

SerinError                  one sentence that says what to do next; the command line prints it alone
├── ManifestError           a file of kserve/ or keda/ says something this platform cannot do
├── StoreError              an artifact is missing or is not what its version says
└── AlreadyRunning          another process holds the state folder
"""


class SerinError(Exception):
    """A failure that a person can act on; its text is one sentence and needs no traceback."""


class ManifestError(SerinError):
    """A manifest that cannot be read, or that asks for what this machine cannot do."""


class StoreError(SerinError):
    """An artifact that is missing, or whose bytes are not what its version says."""


class AlreadyRunning(SerinError):
    """Another supervisor holds the state folder's lock."""
