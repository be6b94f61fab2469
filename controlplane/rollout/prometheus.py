"""Instant queries, to a Prometheus by its address or through the Kubernetes API."""

from collections.abc import Iterable, Mapping
from typing import Any

import httpx

from controlplane.errors import SerinError
from controlplane.rollout.kubernetes import Kubernetes

SERVICE = "/api/v1/namespaces/monitoring/services/prometheus-operated:9090/proxy"
"""The operator's Service, as the ScaledObjects name it, through the API server."""
_SECONDS = 10.0


class PrometheusError(SerinError):
    """It does not answer, or refuses the query."""


class Prometheus:
    """Where to ask: `address`, or the cluster's own where that is empty."""

    def __init__(self, api: Kubernetes, address: str) -> None:
        self._api = api
        self._address = address.rstrip("/")
        self._client = httpx.Client(timeout=_SECONDS)

    def now(self) -> float:
        """Its time, Unix seconds: several queries of one moment agree with each other."""
        return float(self._ask({"query": "time()"})[1])

    def ask(self, query: str, at: float) -> Iterable[tuple[Mapping[str, str], float]]:
        """Labels and value of each element, at a time of Prometheus'.

        Raises:
            PrometheusError: There is no answer; says why.
        """
        result = self._ask({"query": query, "time": f"{at:.3f}"})
        return [(one["metric"], float(one["value"][1])) for one in result]

    def _ask(self, params: Mapping[str, str]) -> Any:
        try:
            if self._address:
                answer = self._client.get(f"{self._address}/api/v1/query", params=params)
            else:
                answer = self._api.proxied(f"{SERVICE}/api/v1/query", params)
            found: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            said = str(error) or type(error).__name__
            raise PrometheusError(f"Prometheus does not answer: {said}") from error
        if found.get("status") != "success":
            said = str(found.get("error") or found.get("message") or answer.status_code)
            raise PrometheusError(f"Prometheus does not answer: {said}")
        return found["data"]["result"]
