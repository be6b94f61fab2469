"""`serin load`: sends requests at a fixed rate and reports the latency."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts.verbs.values import ValuesCommand

if TYPE_CHECKING:
    from controlplane.simulation.load import Load
    from scripts.loadtest.process import EngineProcess
    from scripts.loadtest.tally import Tally
    from scripts.loadtest.target import Target
    from scripts.loadtest.view import View

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUT = click.Path(dir_okay=False, path_type=Path)
POSITIVE = click.FloatRange(min=0, min_open=True)
POLL_SECONDS = 0.25


@click.command("load", cls=ValuesCommand)
@click.argument("model")
@click.argument("values", nargs=-1, metavar="[NUMBER… | TEXT… | IMAGE…]")
@click.option("--rate", type=POSITIVE, default=100.0, show_default=True, help="Requests a second.")
@click.option("--duration", type=POSITIVE, default=30.0, show_default=True, metavar="SECONDS")
@click.option(
    "--curve",
    type=click.Choice(["constant", "ramp", "step", "spike", "daily"]),
    default="constant",
    show_default=True,
    help="From --low to --rate over the duration.",
)
@click.option(
    "--low",
    type=click.FloatRange(min=0),
    help="Lowest rate of a curve.  [default: a tenth of rate]",
)
@click.option("--load", "trace", type=FILE, help="CSV of seconds,requests_per_second instead.")
@click.option("--even", is_flag=True, help="Equal gaps, as wrk2; default: independent clients.")
@click.option("--grpc", "over_grpc", is_flag=True, help="gRPC instead of REST.")
@click.option("--data", type=FILE, help="V2 requests as JSON, one a line, sent in turn.")
@click.option(
    "--connections",
    type=click.IntRange(min=1, max=4096),
    help="REST: one request at a time on each.  [default: 64, over gRPC 4]",
)
@click.option("--timeout", type=POSITIVE, default=30.0, show_default=True, metavar="SECONDS")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the random arrivals.")
@click.option("--host", metavar="URL", help="Another gateway than this checkout's.")
@click.option("--context", metavar="NAME", help="The gateway of a cluster, by kubectl's context.")
@click.option("--yes", is_flag=True, help="Allow a load on another machine.")
@click.option("--output", "-o", "outputs", type=OUT, multiple=True, help="FILE.json or FILE.svg.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole result, as JSON.")
def command(
    model: str,
    values: tuple[str, ...],
    rate: float,
    duration: float,
    curve: str,
    low: float | None,
    trace: Path | None,
    even: bool,
    over_grpc: bool,
    data: Path | None,
    connections: int | None,
    timeout: float,
    seed: int,
    host: str | None,
    context: str | None,
    yes: bool,
    outputs: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Send requests to a model at a rate, and measure the latency that its clients would see.

    \b
    serin load iris --rate 500                      the golden sample, row by row
    serin load iris 5.1 3.5 1.4 0.2 --curve spike -o spike.svg
    serin load mnist-forest --grpc --load trace.csv --json
    serin load iris --context kind-serin            a cluster's gateway

    Every request has a planned time before the load begins, and its latency counts from that
    time: if a server stops for a second, all requests of that second are late. Ctrl-C
    ends the load early, with its result. Exits 1 if no request was answered.
    """
    import sys
    from datetime import UTC, datetime

    from scripts.loadtest import inputs, report, target
    from scripts.loadtest.plan import Plan
    from scripts.loadtest.process import EngineProcess
    from scripts.loadtest.tally import Tally
    from scripts.loadtest.view import View
    from scripts.loadtest.wire import grpc_request, rest_request
    from scripts.show.lines import wrapped

    for path in outputs:
        if path.suffix not in {".json", ".svg"}:
            raise click.BadParameter(f"{path}: expected FILE.json or FILE.svg", param_hint="-o")
    where = target.find(model, host, context, yes)
    if values and data:
        raise click.UsageError("Give values or --data, not both.")
    if data:
        asked = inputs.from_file(data)
    else:
        asked = inputs.typed(where, model, values) if values else inputs.golden(where, model)
    name, gateway = where.authority, where.gateway
    key = gateway.credentials
    if over_grpc:
        requests = [grpc_request(name, model, one, gateway.secure, key) for one in asked]
    else:
        requests = [rest_request(name, model, one, key) for one in asked]
    wave = _load(trace, curve, rate, rate / 10 if low is None else low, duration)
    address, _, port = gateway.dialled.rpartition(":")
    plan = Plan(
        host=address.strip("[]"),
        port=int(port),
        secure=gateway.secure,
        authority=name,
        over_grpc=over_grpc,
        requests=tuple(requests),
        load=wave,
        poisson=not even,
        seed=seed,
        connections=connections or (4 if over_grpc else 64),
        timeout_seconds=timeout,
    )
    how = "gRPC" if over_grpc else "REST"
    what = trace.name if trace else f"{curve} {rate:g}/s"
    title = f"{model} at {gateway.url}, {how}, {what}"
    tally = Tally()
    begun_at = datetime.now(UTC).isoformat(timespec="seconds")
    with (
        EngineProcess(plan) as engine,
        View(title, wave.duration, tally, lambda: _replicas(where, model)) as view,
    ):
        last = _watch(engine, tally, view)
    result = report.Result(title, plan, tally, last, begun_at)
    for path in outputs:
        drawn = report.picture if path.suffix == ".svg" else report.as_json
        path.write_text(drawn(result), "utf-8")
    told = report.as_json(result) if as_json else wrapped(report.text(result), sys.stdout, indent=2)
    click.echo(told, nl=False)
    if not tally.latency.count:
        raise SystemExit(1)


def _watch(engine: "EngineProcess", tally: "Tally", view: "View") -> dict[str, object]:
    """Count and show until the engine's last word; Ctrl-C ends the load early, with its result."""
    from scripts.loadtest.plan import END, NAMES, RECORDS
    from scripts.loadtest.process import ended

    messages = engine.messages(POLL_SECONDS)
    while True:
        try:
            for kind, content in messages:
                if kind == NAMES:
                    tally.name(content)
                elif kind == RECORDS:
                    view.came(tally.record(content))
                elif kind == END:
                    return ended(content)
                view.draw()
        except KeyboardInterrupt:
            click.echo("Stopping: waiting for the last answers.", err=True)
            engine.stop()
            messages = engine.messages(POLL_SECONDS)


def _load(trace: Path | None, curve: str, rate: float, low: float, duration: float) -> "Load":
    from controlplane.simulation import load as loads

    if trace:
        return loads.read(trace)
    if curve == "constant":
        return loads.Load((0.0,), (rate,), duration)
    return loads.built_in(curve, low, rate, duration, step=min(1.0, duration / 100))


def _replicas(where: "Target", model: str) -> str:
    """Ready and wanted replicas, where this checkout's platform is loaded."""
    from controlplane import statefolder
    from controlplane.local import client

    if not where.platform:
        return ""
    now = client.status(statefolder.home()) or {}
    found = (now.get("models") or {}).get(model)
    return f"{found['replicas_ready']}/{found['replicas_wanted']}" if found else ""
