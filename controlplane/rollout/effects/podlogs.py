"""Reads from the pods' logs, by the Kubernetes API, what both versions answered.

The kubelet gives logs out, so no NetworkPolicy stands between, and no port is needed. Each look
reads what came since the one before; an engine that begins anew reads from the phase's begin.
"""

import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from controlplane.kubernetes.client import Kubernetes
from controlplane.rollout.judging.answers import Answer, Answers, Compared
from controlplane.rollout.judging.evidence import CANARY, STABLE

CONTAINER = "kserve-container"
MOST = 20
"""Times as many requests as asked for are read at most: what is unclear then stays so."""
_OVERLAP_SECONDS = 2.0
"""Read again at each look: lines are a little out of order."""
_SKEW_SECONDS = 10.0
"""How far our clock may be ahead of a node's."""


class ShadowLogs:
    """The answers to the requests with one mark."""

    def __init__(self, api: Kubernetes, mark: str, since: float) -> None:
        """Read nothing yet.

        Args:
            api: The cluster.
            mark: The header's value, which ends in the version under trial.
            since: Unix time from which on there may be some.
        """
        self.mark = mark
        self._api = api
        self._since = since - _SKEW_SECONDS
        self._read_to: dict[str, float] = {}
        """Pod → the time of its newest line, by its own clock."""
        self._answers = Answers()

    def read(self, enough: int, pods: Iterable[str]) -> Compared:
        """Read what is new in these running pods' logs; count everything.

        Raises:
            ApiError: A log cannot be read.
        """
        found = self._answers.count(time.monotonic())
        if found.compared >= MOST * enough:
            return found
        for pod in pods:
            self._read(pod)
        return self._answers.count(time.monotonic())

    def _read(self, pod: str) -> None:
        since = self._read_to.get(pod, self._since)
        newest = since
        for text in self._api.log(pod, CONTAINER, since - _OVERLAP_SECONDS).splitlines():
            if not text.startswith("{"):
                continue
            line = _parsed(text)
            newest = max(newest, _time(line))
            if line.get("event") == "shadow" and line.get("shadow") == self.mark:
                under_trial = self.mark.partition("/")[2]
                arm = CANARY if line.get("model_version") == under_trial else STABLE
                answer = Answer.of(pod, line)
                self._answers.add(arm, str(line.get("x_request_id", "")), answer, time.monotonic())
        self._read_to[pod] = newest


def _parsed(text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:  # cut off: it is read whole the next time
        return {}
    return line if isinstance(line, dict) else {}


def _time(line: dict[str, Any]) -> float:
    try:
        return datetime.fromisoformat(line["time"]).astimezone(UTC).timestamp()
    except (KeyError, TypeError, ValueError):
        return 0.0
