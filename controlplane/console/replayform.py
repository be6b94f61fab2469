"""What the form of a replay says, within limits, and the ScaledObject that it makes."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.autoscale import admission
from controlplane.console.pages import model, words
from controlplane.console.sources.answer import SourceError
from controlplane.console.sources.cluster import Object
from controlplane.simulation import load as loads

RECORDED = "recorded"
LOADS = (RECORDED, *loads.CURVES)
FIELDS: Mapping[str, tuple[str, float, float, float]] = {
    "low": ("Requests a second, low", 5, 0, 10_000),
    "high": ("Requests a second, high", 50, 0, 10_000),
    "service": ("Seconds of one request", 0.05, 0.0001, 600),
    "concurrency": ("Requests that a pod works on at once", 8, 1, 10_000),
    "start": ("Seconds until a pod is ready", 10, 0, 3_600),
}
"""Of a load that is made up: name → label, default, least and most."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form says."""

    load: str
    minutes: int
    low: int
    high: int
    threshold: str
    numbers: Mapping[str, float]


def read_form(document: Object, given: Mapping[str, str]) -> Asked:
    """Read the form, with what the ScaledObject says where it says nothing; raises SourceError."""
    spec = document["spec"]
    numbers = {
        key: _number(given.get(key), label, default, least, most)
        for key, (label, default, least, most) in FIELDS.items()
    }
    load = given.get("load", RECORDED)
    if load not in LOADS:
        raise SourceError(f"A load is one of: {', '.join(LOADS)}.")
    least, most = spec.get("minReplicaCount"), spec.get("maxReplicaCount")
    return Asked(
        load=load,
        minutes=minutes(given),
        low=int(_number(given.get("from"), "From", 0 if least is None else int(least), 0, 9999)),
        high=int(_number(given.get("to"), "To", 100 if most is None else int(most), 1, 9999)),
        threshold=given.get("threshold") or threshold(document),
        numbers=numbers,
    )


def minutes(given: Mapping[str, str]) -> int:
    """How much of what was recorded."""
    periods = {str(period): period for period in model.PERIODS}
    return periods.get(given.get("minutes", ""), model.PERIODS[0])


def _number(text: str | None, label: str, default: float, least: float, most: float) -> float:
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:  # NaN is not, either
        raise SourceError(f"{label}: a number from {least:g} to {most:g}, not {text[:40]!r}.")
    return value


def threshold(document: Object) -> str:
    """The first trigger's, where it has one."""
    metadata = document["spec"]["triggers"][0].get("metadata") or {}
    return words.short(str(metadata.get("threshold") or ""), 40)


def changed(document: Object, form: Asked) -> Object:
    """The ScaledObject with the form's numbers, as far as KEDA would take it."""
    changed = copy.deepcopy(document)
    changed["spec"] |= {"minReplicaCount": form.low, "maxReplicaCount": form.high}
    if form.threshold != threshold(document):
        changed["spec"]["triggers"][0]["metadata"]["threshold"] = form.threshold
    if refused := admission.refusals(changed, ()):
        raise SourceError(f"KEDA would refuse it: {'; '.join(refused)}.")
    return changed
