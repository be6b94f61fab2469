"""A model's Lease: who acts on its rollout, where it is, and those before it.

State and lock are one object. A write names the resourceVersion that was read, so an engine that
lost the lease cannot write, whatever it believes; and what it does to the InferenceService names
that one's.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from controlplane.kubernetes.client import Conflict, Kubernetes, Object
from controlplane.rollout.steps.state import State

LEASE_SECONDS = 15
KEPT = 10
"""Rollouts in the history."""
STATE, HISTORY, COMMAND = (f"rollout.serin/{name}" for name in ("state", "history", "command"))


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease says."""

    version: str
    """Its resourceVersion."""
    holder: str
    renewed: str
    """renewTime, as it is written."""
    state: State | None
    history: tuple[dict[str, Any], ...]
    command: dict[str, Any] | None
    """{"do": pause, resume, promote or abort, "by": who, "at": Unix time}"""

    @property
    def silent_seconds(self) -> float:
        """How long ago the holder gave a sign, by its clock and ours."""
        try:
            then = datetime.fromisoformat(self.renewed).timestamp()
        except ValueError:
            return float("inf")
        return max(time.time() - then, 0.0)

    @property
    def is_held(self) -> bool:
        """Whether an engine acts, as far as one look can tell."""
        return bool(self.holder) and self.silent_seconds < LEASE_SECONDS


class Records:
    """The Lease of one model."""

    def __init__(self, api: Kubernetes, model: str) -> None:
        self.api = api
        self.name = f"rollout-{model}"
        self._model = model

    def read(self) -> Record | None:
        """What it says; None where the model never had a rollout."""
        found = self.api.get("leases", self.name)
        return None if found is None else read_record(found)

    def begin(self, state: State) -> None:
        """Write a new rollout; nobody acts on it yet.

        Raises:
            Conflict: Somebody else was faster.
        """
        old = self.read()
        notes = {STATE: json.dumps(state.as_json()), COMMAND: None}
        if old is None:
            self.api.create(
                "leases",
                {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {
                        "name": self.name,
                        "namespace": self.api.namespace,
                        "labels": {
                            "app.kubernetes.io/name": self._model,
                            "app.kubernetes.io/component": "rollout",
                            "app.kubernetes.io/part-of": "serin",
                        },
                        "annotations": {STATE: notes[STATE]},
                    },
                    "spec": {"leaseDurationSeconds": LEASE_SECONDS},
                },
            )
            return
        self._patch({"resourceVersion": old.version, "annotations": notes}, {})

    def order(self, command: str, by: str) -> None:
        """Leave a word for the engine; the last one counts."""
        word = json.dumps({"do": command, "by": by, "at": time.time()})
        self._patch({"annotations": {COMMAND: word}}, {})

    def acquire(self, me: str, wait: Callable[[float], None]) -> Record | None:
        """Take the lease, or wait for a silent holder's time to be up; None where another acts.

        Time is measured here, from the last change seen: clocks of two machines may differ.
        """
        seen = self.read()
        begun = time.monotonic()
        while seen is not None:
            if seen.holder in {"", me}:
                return self._take(seen, me)
            wait(1.0)
            now = self.read()
            if now is None or now.renewed != seen.renewed:
                return self._take(now, me) if now and not now.holder else None
            if time.monotonic() - begun > LEASE_SECONDS:
                return self._take(now, me)
        return None

    def save(self, record: Record, me: str, state: State, *, heard: bool, over: bool) -> Record:
        """Write where the rollout is, and a sign of life.

        Args:
            record: What was read or written last.
            me: The holder.
            state: To be written.
            heard: The command of `record` was obeyed.
            over: Put the rollout into the history and give the lease up.

        Raises:
            Conflict: Something else was written meanwhile: read again.
        """
        notes: dict[str, str | None] = {STATE: json.dumps(state.as_json())}
        if heard:
            notes[COMMAND] = None
        if over:
            notes[HISTORY] = json.dumps([*record.history, state.as_json()][-KEPT:])
        spec = {"holderIdentity": "" if over else me, "renewTime": _now()}
        metadata = {"resourceVersion": record.version, "annotations": notes}
        return read_record(self._patch(metadata, spec))

    def release(self, record: Record) -> None:
        """Give the lease up, so that another engine need not wait."""
        self._patch({"resourceVersion": record.version}, {"holderIdentity": ""})

    def _take(self, found: Record, me: str) -> Record | None:
        spec = {
            "holderIdentity": me,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": _now(),
            "renewTime": _now(),
        }
        try:
            return read_record(self._patch({"resourceVersion": found.version}, spec))
        except Conflict:
            return None

    def _patch(self, metadata: Object, spec: Object) -> Object:
        return self.api.patch("leases", self.name, {"metadata": metadata, "spec": spec})


def read_record(lease: Object) -> Record:
    """What a Lease says of a rollout."""
    notes = lease["metadata"].get("annotations") or {}
    spec = lease.get("spec") or {}
    command = notes.get(COMMAND)
    return Record(
        version=lease["metadata"]["resourceVersion"],
        holder=spec.get("holderIdentity") or "",
        renewed=spec.get("renewTime") or "",
        state=State.of(json.loads(notes[STATE])) if STATE in notes else None,
        history=tuple(json.loads(notes.get(HISTORY, "[]"))),
        command=json.loads(command) if command else None,
    )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
