"""Reads from the pods' logs, by the Kubernetes API, what both versions answered.

The kubelet gives logs out, so no NetworkPolicy stands between, and no port is needed. Each look
reads what came since the one before; an engine that begins anew reads from the phase's begin.
"""

import json
import time
from datetime import UTC, datetime
from typing import Any

from controlplane.rollout.effects.kubernetes import Kubernetes
from controlplane.rollout.judging.answers import Answer, Answers, Compared
from controlplane.rollout.judging.evidence import CANARY, STABLE
from controlplane.rollout.steps.seen import deployment_name

CONTAINER = "kserve-container"
MOST = 20
"""Times as many requests as asked for are read at most: what is unclear then stays so."""
_OVERLAP_SECONDS = 2.0
"""Read again at each look: lines are a little out of order."""
_SKEW_SECONDS = 10.0
"""How far our clock may be ahead of a node's."""


class ShadowLogs:
    """The answers to the requests with one mark."""

    def __init__(self, api: Kubernetes, model: str, mark: str, since: float) -> None:
        """Read nothing yet.

        Args:
            api: The cluster.
            model: The InferenceService.
            mark: The header's value.
            since: Unix time from which on there may be some.
        """
        self.mark = mark
        self._api = api
        self._model = model
        self._since = since - _SKEW_SECONDS
        self._read_to: dict[str, float] = {}
        """Pod → the time of its newest line, by its own clock."""
        self._answers = Answers()

    def read(self, enough: int) -> Compared:
        """Read what is new; count everything.

        Raises:
            ApiError: A log cannot be read.
        """
        found = self._answers.count(time.monotonic())
        if found.compared >= MOST * enough:
            return found
        # Stable last: most have its answer by then, and fewer wait for the next look.
        for arm in (CANARY, STABLE):
            app = deployment_name(self._model, canary=arm == CANARY)
            for pod in self._api.list("pods", labels=f"app=isvc.{app}"):
                if (pod.get("status") or {}).get("phase") == "Running":
                    self._read(arm, pod["metadata"]["name"])
        return self._answers.count(time.monotonic())

    def _read(self, arm: int, pod: str) -> None:
        since = self._read_to.get(pod, self._since)
        newest = since
        for text in self._api.log(pod, CONTAINER, since - _OVERLAP_SECONDS).splitlines():
            if not text.startswith("{"):
                continue
            line = _parsed(text)
            newest = max(newest, _time(line))
            if line.get("event") == "shadow" and line.get("shadow") == self.mark:
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
