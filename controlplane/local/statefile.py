"""state.json: what the supervisor tells the verbs, written when it changed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from controlplane.kubernetes.meta import Object
from controlplane.local.controllers.fence import Fence
from controlplane.local.controllers.jobreport import job_reports
from controlplane.local.controllers.plan import Plan
from controlplane.local.controllers.report import Failure, PodReport, report, unreadable
from controlplane.statefolder import write_bytes


class StateFile:
    """One file; a state that is the last one again writes nothing."""

    def __init__(self, path: Path, fence: Fence) -> None:
        self._path = path
        self._fence = fence
        self._written: dict[str, Any] = {}

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace the file, if something changed."""
        if state != self._written:
            # Not synced: the platform's loop would wait, and a machine's fall ends all it tells.
            text = json.dumps(state, indent=1) + "\n"
            write_bytes(self._path, text.encode(), synced=False)
            self._written = dict(state)

    def models(
        self,
        services: Iterable[Object],
        plan: Plan,
        pods: Sequence[PodReport],
        failures: Mapping[str, Failure],
    ) -> dict[str, Any]:
        """InferenceService → its row of `serin status`."""
        found: dict[str, Any] = {}
        for service in services:
            step = partial(report, service, plan, pods, failures)
            row = self._fence.run("report", service, step, None)
            name = service["metadata"]["name"]
            found[name] = asdict(row or unreadable(name, self._fence.reason(service)))
        return found

    def jobs(self, jobs: Iterable[Object], pods: Sequence[Object]) -> list[dict[str, Any]]:
        """Each Job's line of `serin status`."""
        found: list[dict[str, Any]] = []
        for job in jobs:
            lines = self._fence.run("report", job, partial(_lines, job, pods), None)
            found += lines or ()
        return found

    def faults(
        self, refused: Mapping[tuple[str, str], str], plan: Plan, scaled: Iterable[Object]
    ) -> list[dict[str, str]]:
        """What is wrong with objects that have no row of their own: kind, name and reason.

        Args:
            refused: Kind and name → why it is not carried out.
            plan: What runs.
            scaled: All ScaledObjects.
        """
        found = {
            (one.kind, one.name): one.reason
            for one in self._fence.faults()
            if one.kind != "InferenceService"
        }
        there = {deployment.name for deployment in plan.deployments}
        for one in scaled:
            if reason := self._fence.run("report", one, partial(_said, one, there), ""):
                found.setdefault((one["kind"], one["metadata"]["name"]), reason)
        found |= refused
        return [
            {"kind": kind, "name": name, "reason": reason}
            for (kind, name), reason in sorted(found.items())
        ]


def _lines(job: Object, pods: Sequence[Object]) -> list[dict[str, Any]]:
    return [asdict(line) for line in job_reports([job], pods)]


def _said(one: Object, deployments: AbstractSet[str]) -> str:
    """What a ScaledObject's own status says is wrong.

    One without a Deployment, such as a canary's, waits and is well.
    """
    if one["spec"]["scaleTargetRef"]["name"] not in deployments:
        return ""
    status = one.get("status")
    if not isinstance(status, dict):
        return ""
    for entry in status.get("conditions") or ():
        if one["kind"] == "ScaledObject" and (entry["type"], entry["status"]) == ("Ready", "False"):
            return str(entry.get("message") or entry.get("reason"))
    return ""
