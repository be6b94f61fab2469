"""What a ScaledObject's status says before its first poll."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from controlplane.autoscale.readings import Reading
from controlplane.local.api.objects import Objects
from controlplane.local.controllers.autoscaling.scaling import Scaling
from controlplane.local.controllers.fence import Fence

PLACE = {"name": "iris-predictor", "namespace": "models"}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": PLACE,
    "spec": {"replicas": 1},
}
SCALED = {
    "apiVersion": "keda.sh/v1alpha1",
    "kind": "ScaledObject",
    "metadata": PLACE,
    "spec": {
        "scaleTargetRef": {"name": "iris-predictor"},
        "triggers": [
            {
                "type": "prometheus",
                "metadata": {
                    "serverAddress": "http://prometheus-operated.monitoring:9090",
                    "query": "up",
                    "threshold": "8",
                },
            }
        ],
    },
}


class Starting:
    """A Prometheus that does not answer yet."""

    error = ""
    url = ""

    def scaled(self, namespace: str, name: str, readings: Mapping[str, Reading]) -> None:
        """Nothing is read."""


def test_a_deployment_that_has_come_is_no_fault_any_more(tmp_path: Path) -> None:
    """The condition Ready follows the Deployment at once, not Prometheus' first scrape."""
    objects = Objects()
    objects.create(SCALED)

    def ready() -> Any:
        status = objects.get("ScaledObject", "models", "iris-predictor").get("status") or {}
        return {one["type"]: one["status"] for one in status.get("conditions", ())}.get("Ready")

    async def until(holds: Callable[[], bool]) -> None:
        for _ in range(2000):
            if holds():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(objects.get("ScaledObject", "models", "iris-predictor"))

    async def look() -> None:
        scaling = Scaling(objects, Starting(), tmp_path / "scaling.log", Fence(objects))
        scaling.start()
        try:
            await until(lambda: ready() == "False")
            objects.create(DEPLOYMENT)
            await until(lambda: ready() == "True")
        finally:
            await scaling.stop()

    asyncio.run(look())
