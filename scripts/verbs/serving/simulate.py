"""`serin simulate`: replays a scaling rule on a load curve, minutes of load in seconds."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from controlplane.autoscale.rule import Rule

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
SECONDS = click.FloatRange(min=0, min_open=True)


@click.command("simulate")
@click.argument("scaledobject", type=FILE, metavar="SCALEDOBJECT.yaml")
@click.option("--load", type=FILE, help="CSV of seconds,requests_per_second.")
@click.option("--metrics", type=FILE, help="CSV of seconds,value: a recorded metric, no pods.")
@click.option(
    "--curve",
    type=click.Choice(["constant", "step", "spike", "daily"]),
    default="spike",
    show_default=True,
    help="Built-in load, if no file is given.",
)
@click.option(
    "--rates",
    type=(click.FloatRange(min=0), click.FloatRange(min=0)),
    default=(50.0, 500.0),
    show_default=True,
    metavar="LOW HIGH",
    help="Requests a second, of the curve.",
)
@click.option("--minutes", type=SECONDS, default=20.0, show_default=True, help="Of the curve.")
@click.option(
    "--service-time",
    type=SECONDS,
    default=0.05,
    show_default=True,
    metavar="SECONDS",
    help="Time of one request, alone in a pod.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Requests that a pod works on at once.",
)
@click.option(
    "--cold-start",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="From the decision to a pod's readiness.",
)
@click.option(
    "--slo",
    type=SECONDS,
    default=0.5,
    show_default=True,
    metavar="SECONDS",
    help="Latency objective.",
)
@click.option(
    "--signal",
    type=click.Choice(["in-flight", "waiting", "rate"]),
    help="What the query measures.  [default: read from its words]",
)
@click.option(
    "--replicas",
    type=click.IntRange(min=0),
    help="Replicas at the start.  [default: minReplicaCount]",
)
@click.option("--sync-period", type=SECONDS, default=15.0, show_default=True, help="Of the HPA.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the random arrivals.")
@click.option("--start", default="00:00", show_default=True, metavar="HH:MM", help="UTC, for cron.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="SVG file.")
@click.option("--json", "as_json", is_flag=True, help="Print every decision and the sums, as JSON.")
def command(
    scaledobject: Path,
    load: Path | None,
    metrics: Path | None,
    curve: str,
    rates: tuple[float, float],
    minutes: float,
    service_time: float,
    concurrency: int,
    cold_start: float,
    slo: float,
    signal: str | None,
    replicas: int | None,
    sync_period: float,
    seed: int,
    start: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Replay SCALEDOBJECT.yaml as KEDA and the HPA would run it, and report the result.

    Shows each change of replicas with the rule that made it, then latency, missed objectives and
    the cost in replica-hours. The same seed gives the same run.

    \b
    ./serin simulate keda/iris.yaml --curve step --rates 40 400 -o step.svg
    ./serin simulate keda/iris.yaml --load trace.csv --service-time 0.02
    """
    import random
    import sys

    from controlplane.autoscale.rule import Controller
    from controlplane.simulation import load as loads
    from controlplane.simulation.outcome import outcome
    from controlplane.simulation.replay import replay
    from controlplane.simulation.service import PodModel, Service
    from controlplane.simulation.signals import Recorded, Signal, Simulated, recordable
    from scripts.show.lines import wrapped
    from scripts.simulation import picture, report

    if load and metrics:
        raise click.UsageError("--load simulates pods and --metrics needs none: give one of them.")
    rule = _rule(scaledobject)
    began = _seconds(start)
    recorded = None
    if metrics:
        rows = loads.table(metrics, 1 + len(recordable(rule)))
        recorded = Recorded(rule, rows, began)
    if recorded:
        wave = loads.Load((0.0,), (0.0,), recorded.duration)
    elif load:
        wave = loads.read(load)
    else:
        wave = loads.built_in(curve, *rates, minutes * 60)
    first = rule.min_replica_count if replicas is None else replicas
    model = PodModel(cold_start, service_time, concurrency)
    arrivals = iter(()) if recorded else wave.arrivals(random.Random(seed))
    service = Service(model, arrivals, first)
    source = recorded or Simulated(rule, service, Signal(signal) if signal else None)
    controller = Controller(sync_period_seconds=sync_period)
    run = replay(rule, wave, service, source, controller, began)
    sums = None if recorded else outcome(run, slo)
    if output:
        panels = picture.of_metric(run) if recorded else picture.of_service(run, slo)
        note = (
            f"metric from {metrics.name}"
            if metrics
            else f"{service_time:g} s a request, {concurrency} at once, cold start "
            f"{cold_start:g} s, seed {seed}"
        )
        output.write_text(picture.picture(run, panels, note), "utf-8")
    if as_json:
        click.echo(report.as_json(run, sums))
    else:
        click.echo(wrapped(report.text(run, sums), sys.stdout), nl=False)
        if output:
            click.echo(f"Picture: {output}", err=True)


def _rule(path: Path) -> "Rule":
    """The one ScaledObject of a file."""
    import yaml

    from controlplane.autoscale import parsing
    from controlplane.errors import ManifestError

    try:
        documents = [one for one in yaml.safe_load_all(path.read_text("utf-8")) if one]
    except yaml.YAMLError as error:
        raise ManifestError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    rules = [
        one for one in documents if isinstance(one, dict) and one.get("kind") == "ScaledObject"
    ]
    if len(rules) != 1:
        raise ManifestError(f"{path} has {len(rules)} ScaledObjects; one is replayed at a time.")
    try:
        return parsing.rule(rules[0])
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}.") from error


def _seconds(clock: str) -> float:
    """HH:MM as seconds of the first day of 1970, which was a Thursday."""
    from datetime import UTC, datetime

    try:
        return datetime.strptime(clock, "%H:%M").replace(year=1970, tzinfo=UTC).timestamp()
    except ValueError:
        raise click.BadParameter(f"{clock!r} is not HH:MM", param_hint="--start") from None
