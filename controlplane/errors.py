"""Errors whose text is meant for the person at the keyboard.

SerinError                  one sentence that says what to do next; the command line prints it alone
├── ManifestError           a file of kserve/ or keda/ says something this platform cannot do
├── StoreError              an artifact is missing or is not what its version says
├── AlreadyRunning          another process holds the state folder
├── NotRunning              nothing runs that could be asked
├── SettingError            an environment variable says nothing that is understood: exit code 2
└── UnknownModel            no model has that name: exit code 2, misused
"""

from collections.abc import Iterable
from difflib import get_close_matches


class SerinError(Exception):
    """A failure that a person can act on; its text is one sentence and needs no traceback."""

    exit_code = 1


class ManifestError(SerinError):
    """A manifest that cannot be read, or that asks for what this machine cannot do."""


class StoreError(SerinError):
    """An artifact that is missing, or whose bytes are not what its version says."""


class AlreadyRunning(SerinError):
    """Another supervisor holds the state folder's lock."""


class NotRunning(SerinError):
    """Nothing runs in this state folder; another checkout's platform is not asked instead."""

    def __init__(self) -> None:
        super().__init__("Nothing runs. Start with: ./serin up")


class SettingError(SerinError):
    """A variable whose value cannot be meant."""

    exit_code = 2


class UnknownModel(SerinError):
    """A name that no model has; says which one may be meant."""

    exit_code = 2

    def __init__(self, name: str, known: Iterable[str]) -> None:
        """Name what there is.

        Args:
            name: What was asked for.
            known: Names that would have been right.
        """
        there = sorted(set(known))
        close = get_close_matches(name, there, n=1)
        text = f"There is no model {name}."
        if close:
            text += f" Did you mean {close[0]}?"
        super().__init__(f"{text} There are: {', '.join(there) or 'none'}.")
