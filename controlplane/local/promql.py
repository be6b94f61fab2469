"""Instant queries, asked as KEDA asks them."""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx


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


async def ask(client: httpx.AsyncClient, address: str, query: str, seconds: float) -> Answer:
    """Ask one query.

    Args:
        client: Whose connections to use.
        address: Prometheus' base URL; empty where there is none.
        query: PromQL.
        seconds: When to give up.
    """
    if not address:
        return Answer(error="Prometheus does not run here")
    url = f"{address.rstrip('/')}/api/v1/query"
    try:
        response = await client.get(url, params={"query": query}, timeout=seconds)
        found = response.json()
    except httpx.TimeoutException:
        return Answer(error=f"{url} did not answer in {seconds:g} s")
    except (httpx.HTTPError, ValueError) as error:
        return Answer(error=f"{url}: {str(error) or type(error).__name__}")
    if response.status_code != 200:
        said = found.get("error", "") if isinstance(found, dict) else ""
        return Answer(
            error=f"prometheus query api returned error. status: {response.status_code} "
            f"response: {said}"
        )
    data = found["data"]
    if data["resultType"] == "scalar":
        return Answer((({}, float(data["result"][1])),))
    return Answer(tuple((one["metric"], float(one["value"][1])) for one in data["result"]))
