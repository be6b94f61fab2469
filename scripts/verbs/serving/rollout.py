"""`serin rollout`: rolls a version out step by step, guarded."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts.verbs.where import KUBECONFIG, NAMESPACE, taking

if TYPE_CHECKING:
    from controlplane.kubernetes.client import Kubernetes
    from scripts.rollouts.target import Target

_PROMETHEUS = click.option(
    "--prometheus",
    metavar="URL",
    help="Default: the laptop's; else the cluster's, through the Kubernetes API.",
)
_MODEL = click.argument("model")


def _cluster(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the options that say which cluster, as one argument `target`."""

    @functools.wraps(function)
    def call(
        *arguments: object,
        kubeconfig: Path | None,
        context: str | None,
        namespace: str | None,
        prometheus: str | None,
        **options: object,
    ) -> Any:
        from scripts.rollouts.target import Target

        target = Target.of(kubeconfig, context, namespace, prometheus)
        return function(*arguments, target=target, **options)

    return taking(call, *KUBECONFIG, NAMESPACE, _PROMETHEUS)


@click.group("rollout")
def command() -> None:
    """Roll a version out step by step; guards compare it with the stable version.

    \b
    serin rollout start iris 1f2e --slo p99=50ms,errors=0.1% --watch
    serin rollout start iris 1f2e --shadow 500  compares answers first
    serin rollout status iris
    serin rollout pause iris                    keeps weight and guards
    serin rollout abort iris

    The engine compares the canary with stable while both serve: errors, latency, classes and
    confidence. A worse canary is stopped at once. Too few requests, or no metrics, never let it
    pass.
    """


def _watched(api: "Kubernetes", model: str, rollout: str) -> int:
    """Tell what happens; Ctrl-C ends the telling, and says that it ends nothing else."""
    from scripts.rollouts import follow

    try:
        return follow.until_over(api, model, rollout)
    except KeyboardInterrupt:
        click.echo(
            f"\nThe rollout of {model} goes on. See it: ./serin rollout status {model} --watch\n"
            f"End it: ./serin rollout abort {model}",
            err=True,
        )
        raise


@command.command("start")
@_MODEL
@click.argument("version")
@click.option(
    "--steps",
    default="5,25,50,100",
    show_default=True,
    help="The canary's percentages of the requests.",
)
@click.option(
    "--slo",
    default="",
    metavar="p99=50ms,errors=0.1%",
    help="Absolute limits, in addition to the comparison with stable.",
)
@click.option(
    "--min-requests",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    help="Requests that each version needs before a step can pass.",
)
@click.option(
    "--step-seconds",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="Shortest duration of a step.",
)
@click.option(
    "--latency-floor",
    default="5ms",
    show_default=True,
    metavar="TIME",
    help="Latency below this is not compared.",
)
@click.option(
    "--shadow",
    type=click.IntRange(min=0),
    default=0,
    metavar="REQUESTS",
    help="Before the first step, have the canary answer copies of so many requests, and compare "
    "its answers with stable's; no user gets them. Default: none.",
)
@click.option(
    "--shadow-flips",
    default="5%",
    show_default=True,
    metavar="SHARE",
    help="Share of these that the canary may answer with another class.",
)
@click.option("--watch", is_flag=True, help="Print progress until the rollout ends.")
@_cluster
def start(
    model: str,
    version: str,
    steps: str,
    slo: str,
    min_requests: int,
    step_seconds: float,
    latency_floor: str,
    shadow: int,
    shadow_flips: str,
    watch: bool,
    target: "Target",
) -> None:
    """Roll VERSION of MODEL out; with --watch, exit 1 unless it is promoted.

    VERSION is the last part of the storageUri, or all of it; on the laptop its beginning is enough.
    """
    from controlplane.rollout.plan import (
        Plan,
        parse_objectives,
        parse_seconds,
        parse_share,
        parse_steps,
    )
    from controlplane.rollout.start import begin

    plan = Plan(
        steps=parse_steps(steps),
        objectives=parse_objectives(slo),
        min_requests=min_requests,
        step_seconds=step_seconds,
        floor_seconds=parse_seconds(latency_floor),
        shadow=shadow,
        shadow_flips=parse_share(shadow_flips),
    )
    with target.api() as api:
        target.check(api, model)
        target.check_prometheus()
        state = begin(api, model, target.version(model, version), plan)
        click.echo(f"{model}: {state.stable} → {state.canary}", err=True)
        target.start_engine(model)
        if watch:
            raise SystemExit(_watched(api, model, state.id))
    click.echo(f"See ./serin rollout status {model}.", err=True)


@command.command("status")
@_MODEL
@click.option("-o", "--output", type=click.Choice(["json"]), help="Print JSON.")
@click.option("--watch", is_flag=True, help="Print progress until the rollout ends.")
@_cluster
def status(model: str, output: str | None, watch: bool, target: "Target") -> None:
    """Show the phase of MODEL's rollout, and each guard with its numbers."""
    from controlplane.rollout.effects.record import Records
    from scripts.rollouts import shown
    from scripts.show import columns
    from scripts.show.lines import wrapped

    with target.api() as api:
        record = Records(api, model).read()
        if record is None or record.state is None:
            target.check(api, model)
            click.echo(f"{model} had no rollout.", err=True)
            return
        if output:
            click.echo(shown.as_json(record))
        else:
            click.echo(wrapped(shown.description(model, record), sys.stdout), nl=False)
            if guards := shown.guards(record):
                click.echo()
                columns.show(shown.GUARDS, guards)
        if watch and not record.state.is_over:
            raise SystemExit(_watched(api, model, record.state.id))


@command.command("history")
@_MODEL
@click.option("-o", "--output", type=click.Choice(["json"]), help="Print JSON.")
@_cluster
def history(model: str, output: str | None, target: "Target") -> None:
    """Show MODEL's last rollouts, the newest first."""
    import json

    from controlplane.rollout.effects.record import Records
    from scripts.rollouts import shown
    from scripts.show import columns

    with target.api() as api:
        record = Records(api, model).read()
        if record is None:
            target.check(api, model)
    past = list(reversed(record.history)) if record else []
    if output:
        click.echo(json.dumps({"items": past}, indent=1))
    elif past:
        columns.show(shown.HISTORY, [shown.row(one) for one in past])
    else:
        click.echo(f"No rollout of {model} is over yet.", err=True)


def _order(word: str, sentence: str) -> None:
    @command.command(word, help=sentence)
    @_MODEL
    @_cluster
    def verb(model: str, target: "Target") -> None:
        import getpass

        from controlplane.errors import SerinError
        from controlplane.rollout.effects.record import Records

        with target.api() as api:
            records = Records(api, model)
            record = records.read()
            if record is None:
                target.check(api, model)
            if record is None or record.state is None or record.state.is_over:
                raise SerinError(
                    f"No rollout of {model} is under way. Begin one with: serin rollout start "
                    f"{model} VERSION"
                )
            records.order(word, getpass.getuser())
            target.start_engine(model)  # the last may have been killed just now; else it leaves
        click.echo(f"{model}: told to {word}. See ./serin rollout status {model}.", err=True)


for _word, _sentence in {
    "pause": "Keep the current weight; the guards keep judging.",
    "resume": "Continue after a pause, or after the engine was killed.",
    "promote": "Stop judging: give MODEL's canary all requests, then make it stable.",
    "abort": "Take all requests from the canary, then remove it.",
}.items():
    _order(_word, _sentence)
