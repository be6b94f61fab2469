"""What models that read and write tokens count: a part of ModelMetrics, shown where one says so.

One thread of a process counts, so there is no lock.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from predictors.runtime.observe.memory import Memory

_COUNTERS = (
    ("predictor_prompt_tokens_total", "Tokens of the prompts that were begun."),
    ("predictor_generated_tokens_total", "Tokens that were generated."),
    ("predictor_prefix_cache_hits_total", "Prompts whose beginning the prefix cache had."),
    (
        "predictor_prefix_cache_hit_tokens_total",
        "Tokens of prompts that the prefix cache had, and that were not computed again.",
    ),
    ("predictor_prefix_cache_evictions_total", "Chunks that the prefix cache gave up for others."),
)
_BYTES = "predictor_prefix_cache_bytes"


class TokenMetrics:
    """Counts of one process; all 0 at first, and not shown before `begin`."""

    def __init__(self, memory: Memory) -> None:
        self.shown = memory.integers(1)
        self.counts = memory.integers(len(_COUNTERS))
        self.held_bytes = memory.integers(1)

    def begin(self) -> None:
        """The model counts tokens: from now on each series exists."""
        self.shown[0] = 1

    def prompt(self, tokens: int, cached: int) -> None:
        """A prompt was begun, of whose tokens so many were in the prefix cache."""
        self.counts[0] += tokens
        self.counts[2] += cached > 0
        self.counts[3] += cached

    def generated(self, tokens: int) -> None:
        """Tokens were generated."""
        self.counts[1] += tokens

    def cache(self, held_bytes: int, evicted: int) -> None:
        """The prefix cache holds so much now, having given up so many chunks for it."""
        self.counts[4] += evicted
        self.held_bytes[0] = held_bytes

    def add(self, other: "TokenMetrics") -> None:
        """Add up with another process of the same model version."""
        self.shown[0] |= other.shown[0]
        self.held_bytes[0] += other.held_bytes[0]
        for place, count in enumerate(other.counts):
            self.counts[place] += count

    def families(self, labels: dict[str, str]) -> Iterator[Metric]:
        """Every series, for prometheus_client."""
        if not self.shown[0]:
            return
        names, values = list(labels), list(labels.values())
        for (name, text), count in zip(_COUNTERS, self.counts, strict=True):
            counter = CounterMetricFamily(name, text, labels=names)
            counter.add_metric(values, count)
            yield counter
        held = GaugeMetricFamily(_BYTES, "What the prefix cache holds.", labels=names)
        held.add_metric(values, self.held_bytes[0])
        yield held
