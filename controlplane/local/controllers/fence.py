"""A fence around each object's step: what one object does to the code is that object's fault alone.

An exception, or a step that does not end, becomes the object's condition, an Event and a line of
`serin status`. It is tried again when the object changes, else after a pause that doubles.
"""

import contextlib
import hashlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import orjson

from controlplane.kubernetes.conditions import condition
from controlplane.kubernetes.meta import Key, Object, key_of, now
from controlplane.local.api.objects import Objects
from controlplane.local.controllers import events

SECONDS = 2.0
"""Of this process's time for one object's step; ordinary ones take a thousandth of it."""
PAUSE_SECONDS = 1.0
PAUSE_LIMIT_SECONDS = 60.0
REASON = "ReconcileError"
CONDITION = "Reconciled"
_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_O = TypeVar("_O")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one object, as `serin status` tells it."""

    kind: str
    name: str
    reason: str


class Each(Protocol):
    """Does a step for an object; what a fault leaves is `otherwise`."""

    def __call__(self, about: Object, action: Callable[[], _T], otherwise: _O) -> _T | _O:
        """The action's result."""


class TookTooLongError(Exception):
    """A step that did not end by itself."""

    def __init__(self) -> None:
        super().__init__(f"it took more than {SECONDS:g} s of processor time and was given up")


@dataclass(slots=True)
class _Kept:
    reason: str
    digest: bytes
    pause: float
    retry_at: float


class Fence:
    """Keeps every object's faults from the others."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._kept: dict[Key, dict[str, _Kept]] = {}
        """Object → step → what went wrong."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGVTALRM, _give_up)

    def run(self, step: str, about: Object, action: Callable[[], _T], otherwise: _O) -> _T | _O:
        """Do a step for an object, unless it failed just now.

        Args:
            step: One word for what is done; a fault of one step is not mended by another's success.
            about: The object that the step reads, and that its faults are told on.
            action: The step. It may be repeated.
            otherwise: What a fault leaves.
        """
        if self.waits(step, about):
            return otherwise
        try:
            with _bounded():
                done = action()
        except Exception as error:  # noqa: BLE001  whatever it is, the other objects go on
            self.failed(step, about, error)
            return otherwise
        self.succeeded(step, about)
        return done

    def each(self, step: str) -> Each:
        """`run` for one step of many objects."""

        def run(about: Object, action: Callable[[], _T], otherwise: _O) -> _T | _O:
            return self.run(step, about, action, otherwise)

        return run

    @contextlib.contextmanager
    def guard(self, step: str) -> Iterator[None]:
        """A part of the platform's own loop, which the other parts outlive."""
        about: Object = {"kind": "", "metadata": {"name": step}}
        try:
            yield
        except Exception as error:  # noqa: BLE001  the other parts go on
            self.failed("", about, error)
        else:
            self.succeeded("", about)

    def waits(self, step: str, about: Object) -> bool:
        """Whether a step failed, its pause is not over and the object is as it was."""
        kept = self._kept.get(key_of(about), {}).get(step)
        return (
            kept is not None and time.monotonic() < kept.retry_at and kept.digest == _digest(about)
        )

    def failed(self, step: str, about: Object, error: Exception) -> None:
        """A step failed: tell it on the object, once for each reason."""
        kept, reason = self._kept.setdefault(key_of(about), {}), said(error)
        old = kept.get(step)
        pause = min(old.pause * 2, PAUSE_LIMIT_SECONDS) if old else PAUSE_SECONDS
        kept[step] = _Kept(reason, _digest(about), pause, time.monotonic() + pause)
        if old and old.reason == reason:
            return
        kind, name = about["kind"], about["metadata"]["name"]
        _LOG.error("%s %s, %s: %s", kind, name, step, reason, exc_info=error)
        if kind:
            self._tell(about, reason)

    def succeeded(self, step: str, about: Object) -> None:
        """A step went well: what was told of it before is taken back."""
        kept = self._kept.get(key_of(about)) if self._kept else None
        if kept is None or kept.pop(step, None) is None:
            return
        _LOG.info("%s %s, %s: done", about["kind"], about["metadata"]["name"], step)
        if not kept:
            del self._kept[key_of(about)]
            if about["kind"]:
                self._tell(about, "")

    def reason(self, about: Object) -> str:
        """Why an object's steps fail; empty where none does."""
        kept = self._kept.get(key_of(about), {})
        return next((one.reason for one in kept.values()), "")

    def faults(self) -> list[Fault]:
        """What is wrong now; what is gone is forgotten."""
        for key in list(self._kept):
            if key[0] and self._objects.find(*key) is None:
                del self._kept[key]
        return [
            Fault(key[0] or "platform", key[2], next(iter(kept.values())).reason)
            for key, kept in sorted(self._kept.items())
        ]

    def _tell(self, about: Object, reason: str) -> None:
        try:
            found = self._objects.find(*key_of(about))
            if found is None:
                return
            if reason:
                events.record(self._objects, found, "Warning", REASON, reason)
            status = found.get("status")
            status = status if isinstance(status, dict) else {}
            conditions = status.get("conditions")
            kept = [
                one
                for one in (conditions if isinstance(conditions, list) else ())
                if not (isinstance(one, dict) and one.get("type") == CONDITION)
            ]
            if reason:
                told = condition(CONDITION, REASON, reason, true=False)
                kept.append({**told, "lastTransitionTime": now()})
            self._objects.set_status(*key_of(about), {**status, "conditions": kept})
        except Exception:  # noqa: BLE001  it cannot even be told on; `serin status` says it
            _LOG.exception("%s %s", about["kind"], about["metadata"]["name"])


def said(error: Exception) -> str:
    """An error in one sentence for people."""
    text = str(error).strip() or "no reason given"
    if type(error).__module__.startswith("controlplane"):
        return text
    return f"{type(error).__name__}: {text}"


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, _ = signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, before)


def _give_up(*_: Any) -> None:
    raise TookTooLongError


def _digest(about: Object) -> bytes:
    """What people may change of an object: all but its status and what the system writes."""
    metadata = {
        name: value
        for name, value in about["metadata"].items()
        if name not in {"resourceVersion", "managedFields", "generation"}
    }
    rest = {name: value for name, value in about.items() if name not in {"status", "metadata"}}
    text = orjson.dumps([metadata, rest], option=orjson.OPT_NON_STR_KEYS)
    return hashlib.sha256(text).digest()
