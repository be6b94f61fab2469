"""`serin status`: lists models, versions, canaries, Jobs and faults."""

import json
from collections.abc import Mapping
from typing import Any

import click


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print all details as JSON.")
def command(as_json: bool) -> None:
    """Show every model that should run, its canaries, and Jobs of the last hour.

    \b
    └ canary 10 %   its share of the requests; 0 → 10 %: once it is ready
    1f2e… → 72b7…   the version that serves, and the next one
    1f2e… @stable 7 the version that its channel stable says, and the generation

    Exits 0 if every model and canary is ready, 1 if one is not or nothing runs. Jobs do not count.
    """
    from controlplane import statefolder
    from controlplane.local import client
    from controlplane.store.s3 import external, of_platform
    from scripts.channels.served import behind_channels, follow_channels
    from scripts.show import table

    now = client.status(statefolder.home())
    if now and follow_channels(now) and (store := external() or of_platform(statefolder.home())):
        now = behind_channels(now, store)
    if now is None:
        if as_json:
            click.echo("{}")
        click.echo("Nothing runs. Start with: ./serin up", err=True)
        raise SystemExit(1)
    if as_json:
        click.echo(json.dumps(now, indent=2))
    elif not now:
        click.echo("Serin is starting, or stopping: there is nothing to show yet.", err=True)
    else:
        table.show(now)
        click.echo(f"\nGateway:    {now['gateway_url']}/v2/models/MODEL")
        _addresses(now)
        for fault in now.get("faults", ()):
            click.echo(f"{fault['kind']} {fault['name']}: {fault['reason']}", err=True)
        if now.get("error"):
            click.echo(f"Error: {now['error']}", err=True)
    models = now.get("models", {}).values()
    answering = [*models, *(canary for model in models for canary in model.get("canaries", ()))]
    if not now or now.get("error") or any(one["state"] != "Ready" for one in answering):
        raise SystemExit(1)


def _addresses(now: Mapping[str, Any]) -> None:
    """Where Prometheus and the console answer, or why they do not."""
    for title, part in (("Prometheus:", "prometheus"), ("Console:   ", "console")):
        if url := now.get(f"{part}_url"):
            click.echo(f"{title} {url}")
        elif reason := now.get(f"{part}_error"):
            click.echo(reason, err=True)
