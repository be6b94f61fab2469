"""Requests for a Deployment that sleeps: held until a pod is ready, then handed on to it.

While a Deployment has no replicas, Envoy's endpoint is a listener here, the same that a cluster's
activator has. A connection that comes wakes the Deployment at once.
"""

import asyncio
from collections.abc import Callable

from controlplane.activator.holder import Holder
from controlplane.local.controllers.plan import Plan
from controlplane.local.node.fleet import Endpoint
from controlplane.local.node.processes import LOOPBACK

PATIENCE = 0.9
"""Of the route's timeout: past it Envoy would say only that time is up."""
_PORTS = {"http": True, "grpc": False}


class Holding:
    """The listeners of all Deployments that sleep."""

    def __init__(self, wake: Callable[[str], bool]) -> None:
        """Hold nothing yet.

        Args:
            wake: Starts a Deployment; False where nothing scales it.
        """
        self._wake = wake
        self._holders: dict[str, Holder] = {}

    def stand_in(self, plan: Plan, endpoints: dict[str, list[Endpoint]]) -> None:
        """Put a listener where a sleeping Deployment has no pod; hand on where one is ready.

        Args:
            plan: Which Deployments there are, and how long their routes wait.
            endpoints: Deployment → ready pods; changed in place.
        """
        patience = {
            backend.deployment: route.timeout_seconds * PATIENCE
            for route in plan.routes
            for backend in route.backends
        }
        planned = {deployment.name: deployment for deployment in plan.deployments}
        for name, deployment in planned.items():
            pods = endpoints.get(name)
            holder = self._holders.get(name)
            if pods:
                if holder:
                    holder.hand_on(_addresses(pods))
            elif deployment.replicas == 0 or holder:
                if holder is None:
                    holder = Holder(name, _PORTS, LOOPBACK, lambda name=name: self._start(name))  # type: ignore[misc]  # a default binds it
                    self._holders[name] = holder
                holder.patience_seconds = patience.get(name, 60 * PATIENCE)
                holder.hold()
                endpoints[name] = [Endpoint(holder.ports["http"], holder.ports["grpc"])]
        for name in self._holders.keys() - planned.keys():
            self._holders.pop(name).close()

    def held(self) -> dict[str, int]:
        """Deployments that sleep → how many connections wait for each."""
        return {name: one.held for name, one in self._holders.items() if one.holding}

    async def stop(self) -> None:
        """Drop what is held."""
        for holder in self._holders.values():
            holder.close()
        tasks = [task for holder in self._holders.values() for task in holder.tasks]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, name: str) -> str:
        return "" if self._wake(name) else f"{name} has no replicas, and no ScaledObject starts any"


def _addresses(pods: list[Endpoint]) -> dict[str, list[tuple[str, int]]]:
    return {
        "http": [(LOOPBACK, pod.http_port) for pod in pods],
        "grpc": [(LOOPBACK, pod.grpc_port) for pod in pods if pod.grpc_port],
    }
