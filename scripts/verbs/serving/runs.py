"""`serin runs`: lists trainings, shows one, its log, compares two, cancels one."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts.verbs.where import KUBECONFIG, taking

if TYPE_CHECKING:
    from scripts.runs.listed import Place

_RUN = click.argument("run")
_output = click.option("-o", "--output", type=click.Choice(["json"]), help="Print JSON.")


def _placed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the options that say which cluster, and what they lead to as `place`."""

    @functools.wraps(function)
    def call(
        *arguments: object, kubeconfig: Path | None, context: str | None, **options: object
    ) -> Any:
        from scripts.runs import listed

        with listed.place(kubeconfig, context) as place:
            return function(place, *arguments, **options)

    return taking(call, *KUBECONFIG)


@click.group("runs", invoke_without_command=True)
@_output
@click.pass_context
def command(ctx: click.Context, output: str | None) -> None:
    """List trainings and look into them; without a verb, list all.

    \b
    serin train iris --job            starts one
    serin runs                        Jobs, and records of those before
    serin runs logs f78b -f           prints its log as it is written
    serin runs compare f78b 03c1      flags, metrics, gates, data and code
    serin runs cancel f78b            publishes nothing half

    RUN is the first letters of a run, or the name of its Job.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, output=output)


@command.command("list")
@_output
@_placed
def list_(place: "Place", output: str | None) -> None:
    """Show every run, the newest first."""
    import sys

    from scripts.runs import listed, shown
    from scripts.show import columns, lines, versions

    found = listed.every(place)
    if output:
        click.echo(versions.as_json({"items": found}))
    elif found:
        on_terminal = lines.columns() if sys.stdout.isatty() else None
        header, *rows = shown.table(found, on_terminal)
        columns.show(header, rows)
    else:
        click.echo("No run is known. Start one: ./serin train iris --job", err=True)


@command.command("show")
@_RUN
@_output
@_placed
def show(place: "Place", run: str, output: str | None) -> None:
    """Show who started RUN with which flags, its gates, metrics, data and code."""
    from scripts.runs import listed, shown
    from scripts.show import versions

    found = listed.find(place, run)
    click.echo(
        versions.as_json(dict(found)) if output else shown.description(found), nl=bool(output)
    )


@command.command("logs")
@_RUN
@click.option("-f", "--follow", is_flag=True, help="Print new lines until the run is over.")
@_placed
def logs(place: "Place", run: str, follow: bool) -> None:
    """Print RUN's log; of a Job that is gone, the last lines that its record has."""
    import time

    from controlplane import trainingjobs
    from scripts.runs import listed

    found, printed = listed.find(place, run), ""
    while True:
        text = listed.log(place, found)
        new = text.removeprefix(printed)  # another try's pod begins anew
        click.echo(new, nl=False)
        printed = text
        if not follow or found["state"] in trainingjobs.OVER:
            return
        time.sleep(0.5)
        found = listed.find(place, found["run"])


@command.command("cancel")
@_RUN
@_placed
def cancel(place: "Place", run: str) -> None:
    """End RUN and remove its Job; what is half published is no version."""
    from controlplane import trainingjobs
    from controlplane.errors import SerinError
    from scripts.runs import listed, shown, start

    found = listed.find(place, run)
    if found["state"] in trainingjobs.OVER:
        raise SerinError(f"Run {found['run']} is over already: {found['state']}.")
    place.api.delete("jobs", found["job"])
    start.wait_gone(place.api, found["job"])
    left = {entry["run"]: entry for entry in listed.every(place)}.get(found["run"], found)
    made = shown.version(left)
    said = f"it had published {made} before" if made else "nothing was published"
    click.echo(f"Run {found['run']} of {found['model']} is cancelled; {said}.")


@command.command("compare")
@click.argument("run")
@click.argument("other")
@_output
@_placed
def compare(place: "Place", run: str, other: str, output: str | None) -> None:
    """Show how two runs differ; exits 0 in both cases."""
    from controlplane import trainingjobs
    from controlplane.differences import shown
    from scripts.runs import listed
    from scripts.show import columns, versions

    pair = listed.find(place, run), listed.find(place, other)
    rows = trainingjobs.differences(*pair)
    names = [entry["run"] for entry in pair]
    if output:
        changed = [{"field": field, "from": old, "to": new} for field, old, new in rows]
        click.echo(versions.as_json({"from": names[0], "to": names[1], "differences": changed}))
    elif rows:
        columns.show(
            ("FIELD", *names),
            [(field, shown(old), shown(new)) for field, old, new in rows],
        )
    else:
        click.echo("They do not differ.", err=True)
