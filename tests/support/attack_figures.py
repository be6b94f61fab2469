"""The attacks' figures as a result file, for who runs them by hand on a machine with nothing to do.

SERIN_ATTACKS_RESULT=FILE names it. Every attack then comes several times, each time behind a second
of quiet, and what it adds to an honest client's worst is held to a limit. On a machine that others
use the same limit would judge them, so it is none of the tests as they run every day.
"""

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchmark.result.provenance import provenance
from scripts.benchmark.serving import machine

PATH = os.environ.get("SERIN_ATTACKS_RESULT")
ROUNDS = 3
QUIET_SECONDS = 1.0
MORE_MS = 100.0

Answers = Sequence[tuple[int, float]]
"""An honest client's: status and seconds of each."""


@dataclass(frozen=True, slots=True)
class Round:
    """One attack, once."""

    quiet: Answers
    attacked: Answers
    base_mib: int
    grown_mib: int


LOAD_AT_START = machine.load_average()
_rounds: dict[str, list[Round]] = defaultdict(list)


def add(name: str, figures: Round) -> None:
    """Keep what an attack showed."""
    _rounds[name].append(figures)


def write(path: str) -> None:
    """Write all of it, and refuse what others waited for."""
    attacks = {name: _told(rounds) for name, rounds in sorted(_rounds.items())}
    command = ("./serin", "test", "tests/local/attacks")
    document = {
        **provenance(*command, arguments=[]),
        "load_average_at_start": LOAD_AT_START,
        "rounds": ROUNDS,
        "attacks": attacks,
    }
    Path(path).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    slow = {
        name: told
        for name, told in attacks.items()
        if told["failed"] or told["worst_ms"] > told["quiet_worst_ms"] + MORE_MS
    }
    assert not slow, f"an honest client failed, or waited {MORE_MS:g} ms longer: {slow}"


def _told(rounds: Sequence[Round]) -> dict[str, Any]:
    """Medians over the rounds, and the worst of all."""
    quiet = [_worst_ms(one.quiet) for one in rounds]
    attacked = [_worst_ms(one.attacked) for one in rounds]
    return {
        "quiet_worst_ms": round(median(quiet), 1),
        "worst_ms": round(median(attacked), 1),
        "worst_of_all_ms": round(max(attacked), 1),
        "asked": sum(len(one.attacked) for one in rounds),
        "failed": sum(status != 200 for one in rounds for status, _ in one.attacked),
        "rss_mib": max(one.base_mib for one in rounds),
        "rss_grown_mib": max(one.grown_mib for one in rounds),
    }


def _worst_ms(answers: Answers) -> float:
    return 1000 * max(seconds for _, seconds in answers)
