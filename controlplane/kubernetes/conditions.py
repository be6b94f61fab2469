"""Conditions of a status, as Kubernetes' controllers write them. Pure."""

from collections.abc import Mapping, Sequence

from controlplane.kubernetes.meta import Object


def condition(kind: str, reason: str = "", message: str = "", *, true: bool) -> Object:
    """One condition, without its time."""
    found: Object = {"type": kind, "status": "True" if true else "False"}
    if reason:
        found["reason"] = reason
    if message:
        found["message"] = message
    return found


def timed(conditions: list[Object], before: Sequence[Object] | None, now: str) -> list[Object]:
    """Conditions with lastTransitionTime: kept from before where the status did not change."""
    earlier: Mapping[str, Object] = {one["type"]: one for one in before or ()}
    for one in conditions:
        old = earlier.get(one["type"])
        same = old is not None and old["status"] == one["status"]
        one["lastTransitionTime"] = old["lastTransitionTime"] if same and old else now
    return conditions


def is_true(status: Object | None, kind: str) -> bool:
    """Whether a status has a condition, and it is True."""
    conditions = (status or {}).get("conditions") or ()
    return any((one.get("type"), one.get("status")) == (kind, "True") for one in conditions)
