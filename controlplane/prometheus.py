"""Questions to a Prometheus: as KEDA asks them, or as a rollout and the verbs do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

import httpx

from controlplane.errors import SerinError

QUERY = "/api/v1/query"
RANGE = "/api/v1/query_range"
SERVICE = "/api/v1/namespaces/monitoring/services/prometheus-operated:9090/proxy"
"""The operator's Service, as the ScaledObjects name it, through the API server."""
_SECONDS = 10.0
Pairs = Sequence[tuple[str, str]]
Get = Callable[[str, Mapping[str, str]], httpx.Response]
"""A path and its parameters to what answers there."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A query's result: its elements, or why there is none."""

    elements: tuple[tuple[Mapping[str, str], float], ...] = ()
    """Labels and value of each."""
    error: str = ""

    @property
    def values(self) -> list[float]:
        """The values alone."""
        return [value for _, value in self.elements]


async def ask(
    client: httpx.AsyncClient,
    address: str,
    query: str,
    seconds: float,
    *,
    headers: Pairs = (),
    parameters: Pairs = (),
) -> Answer:
    """Ask one query, and read the result as KEDA does.

    Args:
        client: Whose connections to use.
        address: Prometheus' base URL; empty where there is none.
        query: PromQL.
        seconds: When to give up.
        headers: Sent with it.
        parameters: Added to the URL.
    """
    if not address:
        return Answer(error="Prometheus does not run here")
    url = address.rstrip("/") + QUERY
    try:
        response = await client.get(
            url, params=[("query", query), *parameters], headers=[*headers], timeout=seconds
        )
        found = response.json()
    except httpx.TimeoutException:
        return Answer(error=f"{url} did not answer in {seconds:g} s")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Answer(error=f"{url}: {str(error) or type(error).__name__}")
    if response.status_code != 200:
        said = found.get("error", "") if isinstance(found, dict) else ""
        return Answer(
            error=f"prometheus query api returned error. status: {response.status_code} "
            f"response: {said}"
        )
    try:
        return _elements(found["data"], query)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return Answer(error=f"{url} did not answer as Prometheus does")


def _elements(data: Mapping[str, Any], query: str) -> Answer:
    """A result's elements. KEDA knows lists of series alone; of a range, it sees no value."""
    kind, result = data["resultType"], data["result"]
    if kind not in {"vector", "matrix"}:
        return Answer(error=f"prometheus query {query} gives a {kind}; KEDA reads vectors alone")
    if kind == "matrix" and len(result) == 1:
        return Answer()
    return Answer(tuple((one["metric"], float(one.get("value", (0, 0))[1])) for one in result))


def address(server_address: str, local: str) -> str:
    """Where a ScaledObject's serverAddress is on this machine.

    prometheus-operated in the namespace `monitoring` is the cluster's own Prometheus, and so the
    one here; every other address is what it says.
    """
    host = (urlsplit(server_address).hostname or "").removesuffix(".cluster.local")
    service, _, namespace = host.removesuffix(".svc").partition(".")
    is_ours = (service, namespace) == ("prometheus-operated", "monitoring")
    return local if is_ours else server_address


class PrometheusError(SerinError):
    """It does not answer, or refuses the query."""


class Proxy(Protocol):
    """A Kubernetes API server, which asks a Service for us."""

    def proxied(self, path: str, params: Mapping[str, str]) -> httpx.Response:
        """What the Service answers."""


class Prometheus:
    """One that is asked, by its address or through the API server of its cluster.

    Raises:
        PrometheusError: from every method; says why there is no answer.
    """

    def __init__(self, get: Get, name: str = "Prometheus") -> None:
        self._get = get
        self._name = name

    @classmethod
    def at(cls, address: str, *, trust_env: bool = True) -> Self:
        """The one at an address; HTTP_PROXY and its like count where `trust_env` is set."""
        base = address.rstrip("/")

        def get(path: str, params: Mapping[str, str]) -> httpx.Response:
            with httpx.Client(timeout=_SECONDS, trust_env=trust_env) as client:
                return client.get(base + path, params=params)

        return cls(get, f"Prometheus at {base}")

    @classmethod
    def of(cls, api: Proxy) -> Self:
        """The cluster's own."""
        return cls(lambda path, params: api.proxied(SERVICE + path, params))

    def now(self) -> float:
        """Its time, Unix seconds: several queries of one moment agree with each other."""
        return float(self._ask(QUERY, {"query": "time()"})[1])

    def ask(self, query: str, at: float | None = None) -> Sequence[tuple[Mapping[str, str], float]]:
        """Labels and value of each element, now or at a time of Prometheus'."""
        params = {"query": query} | ({} if at is None else {"time": f"{at:.3f}"})
        return [(one["metric"], float(one["value"][1])) for one in self._ask(QUERY, params)]

    def over(
        self, query: str, start: float, end: float, step: float
    ) -> Sequence[tuple[Mapping[str, str], Sequence[tuple[float, float]]]]:
        """Labels, and times with values, of each element between two times."""
        params = {"query": query, "start": str(start), "end": str(end), "step": str(step)}
        return [
            (one["metric"], [(at, float(value)) for at, value in one["values"]])
            for one in self._ask(RANGE, params)
        ]

    def _ask(self, path: str, params: Mapping[str, str]) -> Any:
        try:
            answer = self._get(path, params)
            found: dict[str, Any] = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            said = str(error) or type(error).__name__
            raise PrometheusError(f"{self._name} does not answer: {said}.") from error
        if found.get("status") == "error":
            raise PrometheusError(f"{self._name} refuses {params['query']}: {found.get('error')}.")
        if found.get("status") != "success":
            said = str(found.get("message") or answer.status_code)
            raise PrometheusError(f"{self._name} does not answer: {said}.")
        return found["data"]["result"]
