"""A small Pushgateway: what trainings and rollouts push is scraped here, as from a real one.

Groups live as long as this process. https://github.com/prometheus/pushgateway#api, PUT and POST of
text, with labels in the path.
"""

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PREFIX = "/metrics/job/"
_MAX_BYTES = 1 << 20
_Labels = tuple[tuple[str, str], ...]


class Pushed(Collector):
    """The newest push of each group."""

    def __init__(self) -> None:
        self._groups: dict[_Labels, tuple[float, list[Metric]]] = {}

    def put(self, path: str, text: str) -> None:
        """Take in a push.

        Raises:
            ValueError: a path that is no list of labels, or a text that holds no metrics.
        """
        words = ["job", *path.removeprefix(PREFIX).strip("/").split("/")]
        if len(words) % 2:
            raise ValueError(f"{path} is no list of labels and values")
        labels = tuple(zip(words[::2], words[1::2], strict=True))
        self._groups[labels] = (time.time(), list(text_string_to_metric_families(text)))

    def collect(self) -> Iterator[Metric]:
        """All groups, each with the labels of its path and the time of its push."""
        families: dict[str, Metric] = {}
        for labels, (_, pushed) in tuple(self._groups.items()):
            for family in pushed:
                joined = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    joined.add_sample(sample.name, {**sample.labels, **dict(labels)}, sample.value)
        yield from families.values()
        times = GaugeMetricFamily("push_time_seconds", "Last Unix time when this group was pushed.")
        for labels, (at, _) in tuple(self._groups.items()):
            times.add_sample(times.name, dict(labels), at)
        yield times


def accepting(pushed: Pushed, metrics: "WSGIApplication") -> "WSGIApplication":
    """An application that takes pushes, and leaves everything else to `metrics`."""

    def answer(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        path = str(environ["PATH_INFO"])
        if environ["REQUEST_METHOD"] not in {"PUT", "POST"} or not path.startswith(PREFIX):
            return metrics(environ, start)
        size = int(environ.get("CONTENT_LENGTH") or 0)
        status, said = "200 OK", ""
        if size > _MAX_BYTES:
            status, said = "413 Content Too Large", f"{size} bytes; at most {_MAX_BYTES} are taken"
        else:
            try:
                pushed.put(path, environ["wsgi.input"].read(size).decode())
            except ValueError as error:
                status, said = "400 Bad Request", str(error)
        start(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [said.encode()]

    return answer
