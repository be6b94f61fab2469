"""A small Pushgateway: what trainings and rollouts push is scraped here, as from a real one.

Groups live as long as this process. https://github.com/prometheus/pushgateway#api, PUT and POST of
text, with labels in the path; before it, a token that trainings and rollouts get with
PUSHGATEWAY_URL: what is pushed is scraped with honor_labels, and ScaledObjects may ask for it.
"""

import hmac
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PREFIX = "/metrics/job/"
NAMES = ("training_", "rollout_")
"""What a pushed metric's name begins with; everything else is scraped from who measures it."""
_MAX_BYTES = 1 << 20
_DIGITS = 15  # Python refuses to convert thousands of them
_MOST_GROUPS = 1000
_Labels = tuple[tuple[str, str], ...]


class Pushed(Collector):
    """The newest push of each group."""

    def __init__(self) -> None:
        self._groups: dict[_Labels, tuple[float, dict[str, Metric]]] = {}

    def put(self, path: str, text: str) -> None:
        """Take in a push.

        Raises:
            ValueError: a path that is no list of labels, a text that holds no metrics, or metrics
                that are not a pusher's to say; all of it is left out then.
        """
        words = ["job", *path.removeprefix(PREFIX).strip("/").split("/")]
        if len(words) % 2:
            raise ValueError(f"{path} is no list of labels and values")
        group = tuple(zip(words[::2], words[1::2], strict=True))
        families: dict[str, Metric] = {}
        seen = {
            (sample.name, *sorted(sample.labels.items()))
            for other, (_, pushed) in self._groups.items()
            for family in (pushed.values() if other != group else ())
            for sample in family.samples
        }
        for family in text_string_to_metric_families(text):
            if not family.name.startswith(NAMES):
                raise ValueError(f"{family.name}: names begin with {' or '.join(NAMES)} here")
            joined = Metric(family.name, family.documentation, family.type)
            joined = families.setdefault(family.name, joined)
            for sample in family.samples:
                if taken := {name for name, _ in group} & sample.labels.keys():
                    raise ValueError(f"{sample.name} has the label {taken.pop()} of its path")
                labels = {**sample.labels, **dict(group)}
                if (key := (sample.name, *sorted(labels.items()))) in seen:
                    raise ValueError(f"{sample.name} {labels} is there already")
                seen.add(key)
                joined.add_sample(sample.name, labels, sample.value)
        if len(self._groups) >= _MOST_GROUPS and group not in self._groups:
            raise ValueError(f"there are {_MOST_GROUPS} groups already")
        self._groups[group] = (time.time(), families)

    def collect(self) -> Iterator[Metric]:
        """All groups, each with the labels of its path and the time of its push."""
        families: dict[str, Metric] = {}
        groups = tuple(self._groups.items())
        for _, (_, pushed) in groups:
            for name, family in pushed.items():
                joined = Metric(name, family.documentation, family.type)
                families.setdefault(name, joined).samples += family.samples
        yield from families.values()
        times = GaugeMetricFamily("push_time_seconds", "Last Unix time when this group was pushed.")
        for labels, (at, _) in groups:
            times.add_sample(times.name, dict(labels), at)
        yield times


def accepting(pushed: Pushed, metrics: "WSGIApplication", token: str) -> "WSGIApplication":
    """An application that takes pushes below /TOKEN, and leaves everything else to `metrics`."""

    def answer(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        path = str(environ["PATH_INFO"])
        if environ["REQUEST_METHOD"] not in {"PUT", "POST"}:
            return metrics(environ, start)
        given, _, rest = path.removeprefix("/").partition("/")
        status, said = "200 OK", ""
        size = str(environ.get("CONTENT_LENGTH") or 0)
        if not hmac.compare_digest(given.encode(), token.encode()):
            status, said = "401 Unauthorized", "pushes go to PUSHGATEWAY_URL, which has a token"
        elif not size.isdecimal() or len(size) > _DIGITS or int(size) > _MAX_BYTES:
            status, said = "413 Content Too Large", f"{size} bytes; at most {_MAX_BYTES} are taken"
        elif not f"/{rest}".startswith(PREFIX):
            status, said = "404 Not Found", f"pushes go to {PREFIX}NAME"
        else:
            try:
                pushed.put(f"/{rest}", environ["wsgi.input"].read(int(size)).decode())
            except ValueError as error:
                status, said = "400 Bad Request", str(error)
        start(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [said.encode()]

    return answer
