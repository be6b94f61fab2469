"""What came of a load: counts, HDR histograms, and a row for each second.

A second's row holds the requests that were planned for it. Latencies are of answers that were
`ok`: a refusal is quick, and would make the others look better.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram

from scripts.loadtest.plan import NO_VERSION, OK

RECORDS = np.dtype(
    [("planned", "<f8"), ("sent", "<f4"), ("ended", "<f4"), ("outcome", "<u2"), ("version", "<u2")]
)
"""plan.RECORD, as an array."""
QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
LONGEST_SECONDS = 3600
_DIGITS = 3


@dataclass(slots=True)
class Second:
    """The requests planned for one second, or several."""

    requests: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    latencies: list[Any] = field(default_factory=list)
    """Arrays of seconds, of answers that were ok."""

    def add(self, other: "Second") -> None:
        """Take in another."""
        self.requests += other.requests
        self.errors += other.errors
        self.versions += other.versions
        self.latencies += other.latencies

    def quantiles(self, *shares: float) -> list[float | None]:
        """Latencies, seconds; None where nothing was answered."""
        if not self.latencies:
            return [None] * len(shares)
        found = np.quantile(np.concatenate(self.latencies), shares, method="higher")
        return [float(one) for one in found]


class Histogram:
    """An HDR histogram of seconds, from a microsecond to an hour, to three digits."""

    def __init__(self) -> None:
        self._hdr = HdrHistogram(1, LONGEST_SECONDS * 1_000_000, _DIGITS)

    def add(self, seconds: Any) -> None:
        """Count an array of them."""
        values, counts = np.unique(np.rint(seconds * 1e6).astype(np.int64), return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            self._hdr.record_value(min(max(value, 1), LONGEST_SECONDS * 1_000_000), count)

    @property
    def count(self) -> int:
        """How many."""
        return int(self._hdr.get_total_count())

    def quantile(self, share: float) -> float:
        """Seconds."""
        return float(self._hdr.get_value_at_percentile(100 * share)) / 1e6

    def summary(self) -> dict[str, float]:
        """Quantiles, mean and maximum, seconds; empty where nothing was counted."""
        if not self.count:
            return {}
        named = {f"p{100 * share:g}": self.quantile(share) for share in QUANTILES}
        mean, most = self._hdr.get_mean_value() / 1e6, self._hdr.get_max_value() / 1e6
        return {"mean": round(mean, 6), **named, "max": most}

    def encoded(self) -> str:
        """HdrHistogram's own V2 format, compressed and in base64: any of its tools reads it."""
        text: bytes = self._hdr.encode()
        return text.decode()


class Tally:
    """Counts all that the engine records."""

    def __init__(self) -> None:
        self.latency = Histogram()
        """From the planned time: what a client waits."""
        self.service = Histogram()
        """From the departure: what would be told without the requests that could not leave."""
        self.late = Histogram()
        """Departures after the planned time."""
        self.seconds: dict[int, Second] = {}
        self._outcomes: list[str] = []
        self._versions: list[str] = []

    def name(self, content: bytes) -> None:
        """Learn what outcomes and versions are called."""
        names = json.loads(content)
        self._outcomes, self._versions = names["outcomes"], names["versions"]

    def record(self, content: bytes) -> Second:
        """Count records.

        Returns:
            All of them as one, for a view of what comes in now.
        """
        records = np.frombuffer(content, RECORDS)
        ok = records["outcome"] == (self._outcomes.index(OK) if OK in self._outcomes else -1)
        self.latency.add(records["ended"][ok])
        self.service.add(records["ended"][ok] - records["sent"][ok])
        self.late.add(records["sent"])
        batch = Second()
        for second, part in _by_second(records):
            row = self._row(part)
            self.seconds.setdefault(second, Second()).add(row)
            batch.add(row)
        return batch

    @property
    def total(self) -> Second:
        """All seconds as one."""
        found = Second()
        for second in self.seconds.values():
            found.add(second)
        return found

    def _row(self, records: Any) -> Second:
        row = Second(requests=len(records))
        for outcome, name in enumerate(self._outcomes):
            own = records[records["outcome"] == outcome]
            if not len(own):
                continue
            if name != OK:
                row.errors[name] += len(own)
                continue
            row.latencies.append(own["ended"].copy())
            for version, count in enumerate(np.bincount(own["version"]).tolist()):
                if count:
                    row.versions[self._versions[version] or NO_VERSION] += count
        return row


def _by_second(records: Any) -> Iterator[tuple[int, Any]]:
    planned = records["planned"].astype(int)
    for second in np.unique(planned).tolist():
        yield second, records[planned == second]
