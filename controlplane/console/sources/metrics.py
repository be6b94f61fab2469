"""Prometheus' numbers: of now, and of the last minutes."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from controlplane.console.sources import bounded
from controlplane.console.sources.answer import SourceError

WHO = "Prometheus"
SECONDS = 3.0
SERIES = 40
"""Of one answer: more lines in one chart tell nothing."""
LABEL = 128
"""Characters of a label's value."""
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a chart: a value at each moment, None where there is none."""

    labels: Labels
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Moments:
    """Equally spaced Unix times."""

    start: float
    step: float
    count: int

    @classmethod
    def lately(cls, minutes: float, count: int) -> "Moments":
        """The last minutes; on a grid, so that two looks draw the same points."""
        step = max(60 * minutes / count, 1.0)
        end = time.time() // step * step
        return cls(end - step * (count - 1), step, count)

    @property
    def end(self) -> float:
        """The last of them."""
        return self.start + self.step * (self.count - 1)


class Metrics:
    """Questions to one Prometheus."""

    def __init__(self, address: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._address = address.rstrip("/")
        self._client = httpx.AsyncClient(trust_env=False, transport=transport)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def now(self, query: str) -> list[tuple[Labels, float]]:
        """Labels and value of each element; what is no number is left out.

        Raises:
            SourceError: There is no answer.
        """
        result = await self._ask("query", {"query": query})
        pairs = [(_labels(item), float(item["value"][1])) for item in result]
        return [(labels, value) for labels, value in pairs if math.isfinite(value)]

    async def series(self, query: str, moments: Moments) -> list[Series]:
        """Lines over the moments.

        Raises:
            SourceError: There is no answer.
        """
        asked = {
            "query": query,
            "start": f"{moments.start:.3f}",
            "end": f"{moments.end:.3f}",
            "step": f"{moments.step:.3f}",
        }
        return [_line(item, moments) for item in await self._ask("query_range", asked)]

    async def _ask(self, verb: str, asked: Mapping[str, str]) -> list[Any]:
        if not self._address:
            raise SourceError("Prometheus does not run here: there are no numbers.")
        reply = await bounded.request(
            self._client,
            WHO,
            "GET",
            f"{self._address}/api/v1/{verb}",
            params=dict(asked),
            seconds=SECONDS,
        )
        try:
            document = reply.document()
        except ValueError as error:
            raise SourceError(f"{WHO} answers {reply.status} without a JSON object.") from error
        if document.get("status") != "success":
            raise SourceError(f"{WHO} refuses: {document.get('error') or reply.status}")
        result = document["data"]["result"]
        return result[:SERIES] if isinstance(result, list) else []


def _labels(item: Mapping[str, Any]) -> Labels:
    return {str(name)[:LABEL]: str(value)[:LABEL] for name, value in item["metric"].items()}


def _line(item: Mapping[str, Any], moments: Moments) -> Series:
    values: list[float | None] = [None] * moments.count
    for at, text in item["values"]:
        place = round((float(at) - moments.start) / moments.step)
        value = float(text)
        if 0 <= place < moments.count and math.isfinite(value):
            values[place] = value
    return Series(_labels(item), tuple(values))
