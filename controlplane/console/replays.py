"""A ScaledObject's rule against the metric as it was recorded, or against a load that one makes up.

The rule is autoscale's, as the laptop's controllers run it and as a cluster's HPA and KEDA decide,
so each decision comes with what would have been without the rules that mattered.
"""

import asyncio
import math
import random
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from controlplane.autoscale import parsing, readings
from controlplane.autoscale.decision import Decision
from controlplane.autoscale.rule import Controller, Cron, Prometheus, Rule
from controlplane.console.pages import charts, model, words
from controlplane.console.pages.charts import Chart
from controlplane.console.render import Renderer
from controlplane.console.replayform import (
    FIELDS,
    LOADS,
    RECORDED,
    Asked,
    changed,
    minutes,
    read_form,
)
from controlplane.console.settings import Settings
from controlplane.console.sources.answer import MALFORMED, SourceError, answered
from controlplane.console.sources.bundle import Sources
from controlplane.console.sources.cluster import Object
from controlplane.console.sources.metrics import Moments, Series
from controlplane.console.sources.promql import quoted
from controlplane.errors import SerinError
from controlplane.simulation import load as loads
from controlplane.simulation.outcome import Outcome, outcome
from controlplane.simulation.replay import Run, replay
from controlplane.simulation.service import PodModel, Service
from controlplane.simulation.signals import Recorded, Simulated, recordable

REQUESTS = 100_000
"""Of one replay: some seconds of work."""
REPLICAS = 500
"""Likewise; each is looked at in every second of it."""
POINTS, DECISIONS = 240, 40
SLO_SECONDS = 0.5
STEP_SECONDS = 5.0
Row = tuple[float, ...]
"""Seconds, and a value of each trigger."""
Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Decided:
    """A change of replicas, or a time from which a rule alone keeps them."""

    at: datetime
    replicas: str
    by: str
    why: str
    without: tuple[str, ...]
    """What would have been without a rule."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it."""

    decisions: tuple[Decided, ...]
    left_out: int
    replicas: Chart
    load: Chart
    sums: Outcome | None


class Replays:
    """The handler below /scaling/NAME."""

    def __init__(self, settings: Settings, sources: Sources, render: Renderer) -> None:
        self._settings = settings
        self._sources = sources
        self._render = render
        self._turn = asyncio.Lock()
        """A replay at a time: it is work."""

    def routes(self) -> list[BaseRoute]:
        """For the console's application, behind its guard."""
        return [
            Route("/scaling/{name}", self.page),
            Route("/scaling/{name}/recorded.csv", self.table),
        ]

    async def page(self, request: Request) -> Response:
        """The form, and what the rule does."""
        name = request.path_params["name"]
        document = await self._document(name)
        given = request.query_params
        result, problem, asked = None, "", None
        try:
            asked = read_form(document, given)
            async with self._turn:
                result = await self._replayed(changed(document, asked), asked)
        except SerinError as error:
            problem = words.short(str(error), 400)
        except MALFORMED:
            problem = "The object does not have a ScaledObject's form."
        return self._render(
            request,
            "replay.html",
            code=400 if problem and given else 200,
            name=name,
            asked=asked,
            fields=FIELDS,
            loads=LOADS,
            periods=model.PERIODS,
            result=result,
            problem=problem,
            line=self._line(name, asked) if asked else "",
            slo=SLO_SECONDS,
            here="scaling",
        )

    async def table(self, request: Request) -> Response:
        """What was recorded, as `serin simulate --metrics` reads it."""
        name = request.path_params["name"]
        document = await self._document(name)
        try:
            rule = parsing.rule(document)
            _, rows, _ = await self._recorded(rule, minutes(request.query_params))
        except MALFORMED as error:
            raise SourceError("The object does not have a ScaledObject's form.") from error
        except SerinError as error:
            raise SourceError(str(error)) from error
        lines = [f"seconds,{','.join(trigger.metric_name for trigger in rule.triggers)}"]
        lines += [
            ",".join("error" if math.isnan(cell) else f"{cell:g}" for cell in row) for row in rows
        ]
        return Response("\n".join(lines) + "\n", media_type="text/csv")

    async def _document(self, name: str) -> Object:
        document = await self._sources.cluster.get("scaledobjects", name)
        if document is None:
            raise HTTPException(404, f"There is no ScaledObject {name}.")
        return document

    def _line(self, name: str, asked: Asked) -> str:
        file = f"{name}.yaml"
        get = f"kubectl get scaledobject {shlex.quote(name)} -o yaml > {shlex.quote(file)}"
        parts = [self._settings.command, "simulate", file]
        if asked.load == RECORDED:
            parts += ["--metrics", f"{name}.csv"]
        else:
            rates = [f"{asked.numbers[key]:g}" for key in ("low", "high")]
            parts += ["--curve", asked.load, "--rates", *rates, "--minutes", str(asked.minutes)]
            for key, flag in (
                ("service", "--service-time"),
                ("concurrency", "--concurrency"),
                ("start", "--cold-start"),
            ):
                parts += [flag, f"{asked.numbers[key]:g}"]
        return f"{get}; {shlex.join(parts)}"

    async def _replayed(self, document: Object, asked: Asked) -> Replayed:
        rule = parsing.rule(document)
        if max(rule.min_replica_count, rule.max_replica_count) > REPLICAS:
            raise SourceError(
                f"At most {REPLICAS} replicas are replayed here, not {rule.max_replica_count}: "
                "give a smaller number, or take `serin simulate`."
            )
        if asked.load != RECORDED:
            return await asyncio.to_thread(_made_up, rule, asked)
        return await asyncio.to_thread(_again, rule, *await self._recorded(rule, asked.minutes))

    async def _recorded(self, rule: Rule, minutes: int) -> tuple[Moments, list[Row], Values]:
        """Times, what the triggers read at each, and the replicas that there were.

        Begins with the first value that there is.
        """
        count = min(round(60 * minutes / STEP_SECONDS), 4 * POINTS) + 1
        moments = Moments.lately(minutes, count)
        space = f"namespace={quoted(self._sources.cluster.namespace)}"
        of_target = f"{space},deployment={quoted(rule.target)}"
        specified = f"max(kube_deployment_spec_replicas{{{of_target}}})"
        replicas = await answered(self._sources.metrics.series(specified, moments), [])
        had = replicas.value[0].values if replicas.value else (None,) * count
        columns, begins = [], []
        for trigger in recordable(rule):
            if isinstance(trigger, Prometheus):
                series = await self._sources.metrics.series(trigger.query, moments)
                columns.append(_column(trigger, series, moments))
                begins += [count, *(_begin(line.values) for line in series)]
            else:
                columns.append(_times_of_day(trigger, moments))
        first = min(begins, default=0)
        if first == count:
            raise SourceError("Prometheus has no value of these triggers in this time.")
        moments = Moments(moments.start + first * moments.step, moments.step, count - first)
        rows = list(zip(*(column[first:] for column in columns), strict=True))
        times = (place * moments.step for place in range(moments.count))
        return moments, [(at, *row) for at, row in zip(times, rows, strict=True)], had[first:]


def _column(trigger: Prometheus, series: Sequence[Series], moments: Moments) -> list[float]:
    """The query's value at each moment, as KEDA would have read it; NaN where that fails."""
    column = []
    for place in range(moments.count):
        values = [line.values[place] for line in series]
        samples = [value for value in values if value is not None]
        reading = readings.prometheus(trigger, samples)
        column.append(math.nan if reading.error else reading.value / 1000)
    return column


def _times_of_day(trigger: Any, moments: Moments) -> list[float]:
    if not isinstance(trigger, Cron):
        raise SourceError(f"The metric {trigger.metric_name} is not recorded.")
    times = (moments.start + place * moments.step for place in range(moments.count))
    return [readings.cron(trigger, at).value / 1000 for at in times]


def _begin(values: Values) -> int:
    """The place of the first value."""
    return next((place for place, value in enumerate(values) if value is not None), len(values))


def _again(rule: Rule, moments: Moments, rows: Sequence[Row], had: Values) -> Replayed:
    """The rule on what was recorded, beside the replicas that there were."""
    first = next((int(value) for value in had if value is not None), rule.min_replica_count)
    source = Recorded(rule, rows, moments.start)
    wave = loads.Load((0.0,), (0.0,), source.duration)
    service = Service(PodModel(0, 1, 1), iter(()), first)
    run = replay(rule, wave, service, source, Controller(), moments.start)
    there_were = Series({"name": "recorded"}, tuple(had))
    metric = [
        Series(
            {"name": trigger.metric_name},
            tuple(None if math.isnan(row[place]) else row[place] for row in rows),
        )
        for place, trigger in enumerate(rule.triggers, 1)
    ]
    chart = _chart("metric", "What the triggers read", "", metric, moments)
    return _told(run, moments.start, chart, (there_were, moments))


def _made_up(rule: Rule, asked: Asked) -> Replayed:
    """The rule against a curve of requests."""
    numbers = asked.numbers
    low, high, duration = numbers["low"], numbers["high"], 60.0 * asked.minutes
    wave = loads.built_in(asked.load, low, high, duration)
    expected = sum(wave.rates) * duration / len(wave.rates)
    if expected > REQUESTS:
        raise SourceError(
            f"That load has some {expected:,.0f} requests, and at most {REQUESTS:,} are replayed "
            "here: take less time, lower rates, or `serin simulate`."
        )
    model_of_pod = PodModel(numbers["start"], numbers["service"], int(numbers["concurrency"]))
    service = Service(model_of_pod, wave.arrivals(random.Random(1)), rule.min_replica_count)
    run = replay(rule, wave, service, Simulated(rule, service, None), Controller())
    points = _points(run)
    moments = Moments(0.0, _step(run), len(points))
    lines = [
        Series({"name": "requests a second"}, tuple(moment.rate for moment in points)),
        Series({"name": "waiting"}, tuple(float(moment.waiting) for moment in points)),
    ]
    chart = _chart("load", "Requests a second, and those that wait", "", lines, moments)
    return _told(run, 0.0, chart, None, outcome(run, SLO_SECONDS))


def _told(
    run: Run,
    start: float,
    load: Chart,
    recorded: tuple[Series, Moments] | None,
    sums: Outcome | None = None,
) -> Replayed:
    points = _points(run)
    moments = Moments(start, _step(run), len(points))
    lines = [Series({"name": "by this rule"}, tuple(float(moment.wanted) for moment in points))]
    if recorded:
        lines.append(Series({"name": "recorded"}, _nearest(*recorded, moments)))
    decisions = list(_decisions(run, start))
    return Replayed(
        decisions=tuple(decisions[:DECISIONS]),
        left_out=max(len(decisions) - DECISIONS, 0),
        replicas=_chart("replicas", "Replicas", "", lines, moments),
        load=load,
        sums=sums,
    )


def _decisions(run: Run, start: float) -> Iterable[Decided]:
    """Those that change the replicas, and those where a rule begins to keep them."""
    before: tuple[str, ...] = ()
    for at, decision in run.decisions:
        without = tuple(str(entry) for entry in decision.counterfactuals)
        kinds = tuple(entry.without for entry in decision.counterfactuals)
        if decision.changes or (kinds and kinds != before):
            yield _decided(datetime.fromtimestamp(start + at, UTC), decision, without)
        if decision.by == "HPA":
            before = kinds


def _decided(at: datetime, decision: Decision, without: tuple[str, ...]) -> Decided:
    replicas = f"{decision.current} → {decision.desired}"
    return Decided(
        at=at,
        replicas=replicas if decision.changes else f"{decision.current} stays",
        by=f"{decision.by} {decision.rule}",
        why=words.short("; ".join(decision.reasons), 300),
        without=without,
    )


def _step(run: Run) -> float:
    return float(max(math.ceil(len(run.moments) / POINTS), 1))


def _points(run: Run) -> list[Any]:
    return run.moments[:: int(_step(run))]


def _nearest(series: Series, known: Moments, moments: Moments) -> tuple[float | None, ...]:
    """A series at other moments: each time the last value before."""
    places = (
        min(int(place * moments.step / known.step), known.count - 1)
        for place in range(moments.count)
    )
    return tuple(series.values[place] for place in places)


def _chart(key: str, title: str, unit: str, lines: Iterable[Series], moments: Moments) -> Chart:
    return charts.chart(
        f"replay-{key}", title, unit, lines, moments, lambda line: line.labels["name"]
    )
