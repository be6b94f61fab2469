"""What happens in a rollout, line by line until it is over."""

import re
import time

import click

from controlplane.errors import SerinError
from controlplane.kubernetes.client import Kubernetes
from controlplane.rollout.effects.record import LEASE_SECONDS, Records
from controlplane.rollout.steps.state import JUDGED, Outcome, State
from scripts.rollouts.shown import line

_POLL_SECONDS = 1.0
_AGAIN_SECONDS = 15.0
"""What only counts on is told so often; a new phase or reason at once."""


def until_over(api: Kubernetes, model: str, rollout: str) -> int:
    """Print each change; 0 where the version was promoted, else 1.

    Raises:
        SerinError: Another rollout took its place, or no engine acts on it.
    """
    records, telling, held_at = Records(api, model), _Telling(), time.monotonic()
    while True:
        record = records.read()
        if record is None or record.state is None or record.state.id != rollout:
            raise SerinError(f"Another rollout of {model} began: serin rollout status {model}")
        state = record.state
        telling.tell(state)
        if state.is_over:
            return 0 if state.outcome is Outcome.PROMOTED else 1
        if record.is_held:
            held_at = time.monotonic()
        elif time.monotonic() - held_at > 2 * LEASE_SECONDS:
            raise SerinError(
                f"No engine acts on the rollout of {model}: go on with serin rollout resume "
                f"{model}; .serin/logs/rollout-{model}.log says what the last one did."
            )
        time.sleep(_POLL_SECONDS)


class _Telling:
    """Lines that say something new, in full at once, and otherwise only now and then."""

    def __init__(self) -> None:
        self._text = self._kind = ""
        self._at = 0.0

    def tell(self, state: State) -> None:
        """Print where it is, if that is worth a line."""
        text = line(state)
        if state.phase in JUDGED and state.verdict:
            text = f"{text}  {state.verdict['reason']}"
        if state.is_over:
            text = f"{text}: {state.reason}"
        kind = f"{state.percent} {re.sub(r'[0-9]', '', text)}"
        now = time.monotonic()
        if text == self._text or (kind == self._kind and now - self._at < _AGAIN_SECONDS):
            return
        self._text, self._kind, self._at = text, kind, now
        click.echo(text)
