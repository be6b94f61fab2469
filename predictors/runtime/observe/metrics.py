"""Every metric that a predictor exports, declared together; served on a port of its own.

Labels are `model`, `model_version` and, for counts, `outcome` or `class`. Each series exists at
zero from the load on: a KEDA trigger treats a missing one as failed.

prometheus_client renders and serves; the counting itself is here. Its own counters take a lock
for each number and search buckets in Python, eight times a request: measured at a tenth of a
small request, against one lock for all of them here. It also lets the numbers of several workers
be in memory that they share, and be added up.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from predictors.runtime.observe.memory import Memory
from predictors.runtime.observe.token_metrics import TokenMetrics

OUTCOMES = ("ok", "invalid", "rejected", "deadline", "cancelled", "unready", "error")
_PLACE = {outcome: place for place, outcome in enumerate(OUTCOMES)}
# Seconds, 50 µs to 30 s: an iris answer takes under 100 µs, a generated text seconds.
_SECONDS = (
    5e-5,
    1e-4,
    2.5e-4,
    5e-4,
    1e-3,
    2.5e-3,
    5e-3,
    1e-2,
    2.5e-2,
    5e-2,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
# Of whole requests: finer, so that no slower tail falls between two bounds (docs/rollouts.md).
_LATENCIES = (
    5e-5,
    1e-4,
    2.5e-4,
    5e-4,
    1e-3,
    1.5e-3,
    2.5e-3,
    3.5e-3,
    5e-3,
    7e-3,
    1e-2,
    1.5e-2,
    2.5e-2,
    3.5e-2,
    5e-2,
    7e-2,
    0.1,
    0.15,
    0.25,
    0.35,
    0.5,
    0.7,
    1.0,
    1.5,
    2.5,
    3.5,
    5.0,
    7.0,
    10.0,
    30.0,
)
_CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class Histogram:
    """Counts by upper bound, and their sum; the caller holds the lock."""

    __slots__ = ("bounds", "counts", "help", "name", "sums")

    def __init__(
        self, memory: Memory, name: str, text: str, bounds: tuple[float, ...] = _SECONDS
    ) -> None:
        self.name = name
        self.help = text
        self.bounds = bounds
        self.counts = memory.integers(len(bounds) + 1)
        self.sums = memory.floats(1)

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sums[0] += value

    def add(self, other: "Histogram") -> None:
        """Count all that another process counted."""
        for place, count in enumerate(other.counts):
            self.counts[place] += count
        self.sums[0] += other.sums[0]

    def family(self, labels: dict[str, str]) -> HistogramMetricFamily:
        """The histogram as Prometheus reads it: cumulative."""
        buckets: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
        family = HistogramMetricFamily(self.name, self.help, labels=list(labels))
        family.add_metric(list(labels.values()), buckets, self.sums[0])
        return family


class ModelMetrics(Collector):
    """The metrics of one loaded model version."""

    def __init__(
        self,
        model: str,
        version: str,
        engine: str,
        shared: memoryview | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        memory = Memory(shared)
        self.labels = {"model": model, "model_version": version}
        self._engine = engine
        self._guard = threading.Lock()
        self.in_flight = memory.integers(1)
        self.outcomes = memory.integers(len(OUTCOMES))
        self.copies = memory.integers(len(OUTCOMES))
        self.load_seconds = memory.floats(1)
        self._request = Histogram(
            memory,
            "predictor_request_duration_seconds",
            "From a request's arrival to its answer.",
            _LATENCIES,
        )
        self._queue = Histogram(
            memory,
            "predictor_queue_duration_seconds",
            "How long queued requests waited; short calls never queue.",
        )
        self._infer = Histogram(
            memory, "predictor_infer_duration_seconds", "One call of the model, whatever its rows."
        )
        self._rows = Histogram(
            memory, "predictor_batch_rows", "Rows in one call of the model.", _ROWS
        )
        self.classes = classes
        self.answers = memory.integers(len(classes))
        self._confidence = Histogram(
            memory,
            "predictor_confidence",
            "Score of the likeliest class, of each request's first row.",
            _CONFIDENCES,
        )
        self.tokens = TokenMetrics(memory)

    def begin(self) -> None:
        """A request came in."""
        with self._guard:
            self.in_flight[0] += 1

    def end(self, outcome: str, seconds: float) -> None:
        """A request was answered."""
        with self._guard:
            self.in_flight[0] -= 1
            self.outcomes[_PLACE[outcome]] += 1
            self._request.observe(seconds)

    def end_copy(self, outcome: str) -> None:
        """A mirrored copy was answered: it took work, and is no user's request."""
        with self._guard:
            self.in_flight[0] -= 1
            self.copies[_PLACE[outcome]] += 1

    def turned_away(self) -> None:
        """A request was refused unread; it has no duration, which would flatter the others."""
        with self._guard:
            self.outcomes[_PLACE["rejected"]] += 1

    def queued(self, seconds: float) -> None:
        """A queued request reached the model."""
        with self._guard:
            self._queue.observe(seconds)

    def inferred(self, rows: int, seconds: float) -> None:
        """The model was called."""
        with self._guard:
            self._infer.observe(seconds)
            self._rows.observe(rows)

    def answered(self, places: Sequence[int], scores: Sequence[float]) -> None:
        """Requests got their classes: which, by their places, and with what scores."""
        with self._guard:
            for place, score in zip(places, scores, strict=True):
                self.answers[place] += 1
                self._confidence.observe(score)

    def loaded(self, seconds: float) -> None:
        """The model answered its golden sample."""
        self.load_seconds[0] = seconds

    @property
    def is_loaded(self) -> bool:
        """Whether `loaded` was called since the process began."""
        return self.load_seconds[0] > 0

    def begin_process(self) -> None:
        """Forget what ended with the process before this one; what was counted stays."""
        self.in_flight[0] = 0
        self.load_seconds[0] = 0.0
        self.tokens.held_bytes[0] = 0

    def add(self, other: "ModelMetrics") -> None:
        """Add up with another process of the same model version."""
        self.in_flight[0] += other.in_flight[0]
        for place, count in enumerate(other.outcomes):
            self.outcomes[place] += count
        for place, count in enumerate(other.copies):
            self.copies[place] += count
        for place, count in enumerate(other.answers):
            self.answers[place] += count
        self.load_seconds[0] = max(self.load_seconds[0], other.load_seconds[0])
        self.tokens.add(other.tokens)
        for mine, its in zip(self.histograms, other.histograms, strict=True):
            mine.add(its)

    @property
    def histograms(self) -> tuple[Histogram, ...]:
        """All of them, in the order they are shown."""
        always = self._request, self._queue, self._infer, self._rows
        return (*always, self._confidence) if self.classes else always

    def collect(self) -> Iterator[Metric]:
        """Render every series, for prometheus_client."""
        labels, values = list(self.labels), list(self.labels.values())
        with self._guard:
            requests = CounterMetricFamily(
                "predictor_requests_total",
                "Infer requests answered, by outcome.",
                labels=[*labels, "outcome"],
            )
            copies = CounterMetricFamily(
                "predictor_mirrored_requests_total",
                "Mirrored copies of infer requests answered, which no user waits for, by outcome.",
                labels=[*labels, "outcome"],
            )
            for outcome, count, copied in zip(OUTCOMES, self.outcomes, self.copies, strict=True):
                requests.add_metric([*values, outcome], count)
                copies.add_metric([*values, outcome], copied)
            in_flight = GaugeMetricFamily(
                "predictor_requests_in_flight",
                "Infer requests received and not answered yet: what the model is scaled on.",
                labels=labels,
            )
            in_flight.add_metric(values, self.in_flight[0])
            answers = CounterMetricFamily(
                "predictor_answers_total",
                "Requests answered, by the likeliest class of their first row.",
                labels=[*labels, "class"],
            )
            for name, count in zip(self.classes, self.answers, strict=True):
                answers.add_metric([*values, name], count)
            families = [histogram.family(self.labels) for histogram in self.histograms]
        info = GaugeMetricFamily(
            "predictor_model_info",
            "Always 1; its labels say what is loaded.",
            labels=[*labels, "engine"],
        )
        info.add_metric([*values, self._engine], 1)
        load = GaugeMetricFamily(
            "predictor_load_seconds",
            "From the start of the load to the golden sample answered.",
            labels=labels,
        )
        load.add_metric(values, self.load_seconds[0])
        counts = (requests, copies, answers) if self.classes else (requests, copies)
        tokens = self.tokens.families(self.labels)
        yield from (*counts, in_flight, *families, *tokens, info, load)
