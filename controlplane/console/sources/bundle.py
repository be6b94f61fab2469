"""All sources of one console, opened and closed together."""

from dataclasses import dataclass

import httpx

from controlplane.console.settings import Settings
from controlplane.console.sources.cluster import Access, Cluster
from controlplane.console.sources.gateway import Gateway
from controlplane.console.sources.metrics import Metrics
from controlplane.console.sources.registry import Registry


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a page may ask."""

    cluster: Cluster
    metrics: Metrics
    gateway: Gateway
    registry: Registry

    @classmethod
    def of(
        cls, settings: Settings, access: Access, transport: httpx.AsyncBaseTransport | None = None
    ) -> "Sources":
        """Clients of every address; nothing is asked yet.

        Args:
            settings: The addresses.
            access: Kubernetes' API.
            transport: What carries requests, in place of the network.
        """
        return cls(
            Cluster(access, transport),
            Metrics(settings.prometheus, transport),
            Gateway(settings.gateway, transport),
            Registry(settings.store),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self.cluster.close()
        await self.metrics.close()
        await self.gateway.close()
