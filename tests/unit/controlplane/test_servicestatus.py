from typing import Any

import pytest

from controlplane.local.controllers.servicestatus import happened


def status(*canaries: tuple[str, bool, int], ready: bool = True, broken: str = "") -> Any:
    """A status with its canaries' names, readiness and trafficPercent."""
    failure = {"lastFailureInfo": {"reason": "ModelLoadFailed", "message": broken}}
    return {
        "conditions": [{"type": "Ready", "status": str(ready)}],
        "modelStatus": failure if broken else {},
        "canaryStatuses": [
            {"name": name, "ready": is_ready, "trafficPercent": percent}
            for name, is_ready, percent in canaries
        ],
    }


READY = ("Normal", "CanaryReady", "Canary [canary] is ready")
NOT_READY = ("Warning", "CanaryNotReady", "Canary [canary] is no longer ready")


def requests(said: str) -> tuple[str, str, str]:
    """The Event of other shares."""
    return "Normal", "TrafficChanged", f"Requests: {said}"


@pytest.mark.parametrize(
    ("before", "after", "events"),
    [
        ({}, status(ready=False), []),
        ({}, status(), [("Normal", "InferenceServiceReady", "InferenceService [iris] is Ready")]),
        (status(), status(), []),
        (
            status(),
            status(ready=False, broken="no"),
            [
                (
                    *("Warning", "InferenceServiceNotReady"),
                    "InferenceService [iris] is no longer Ready",
                ),
                ("Warning", "ModelLoadFailed", "no"),
            ],
        ),
        (status(broken="no"), status(broken="no"), []),
        (status(), status(("canary", False, 10)), []),
        (
            status(("canary", False, 10)),
            status(("canary", True, 10)),
            [READY, requests("canary [canary] 0 → 10 %, stable 100 → 90 %")],
        ),
        (
            status(("canary", True, 10)),
            status(("canary", True, 50)),
            [requests("canary [canary] 10 → 50 %, stable 90 → 50 %")],
        ),
        (
            status(("canary", True, 50)),
            status(("canary", False, 50)),
            [NOT_READY, requests("canary [canary] 50 → 0 %, stable 50 → 100 %")],
        ),
        (
            status(("canary", True, 50)),
            status(),
            [requests("canary [canary] 50 → 0 %, stable 50 → 100 %")],
        ),
        (status(("canary", True, 0)), status(), []),
        (
            status(("a", True, 10), ("b", True, 20)),
            status(("a", True, 10), ("b", True, 30)),
            [requests("canary [a] 10 → 10 %, canary [b] 20 → 30 %, stable 70 → 60 %")],
        ),
    ],
)
def test_two_statuses_tell_what_happened(
    before: Any, after: Any, events: list[tuple[str, str, str]]
) -> None:
    """An Event where a service or a canary became ready or not, and where requests moved."""
    assert list(happened("iris", before, after)) == events
