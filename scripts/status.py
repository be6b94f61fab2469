"""`serin status`: which models run, which versions, and what is wrong."""

import json

import click


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print everything known, as JSON.")
def command(as_json: bool) -> None:
    """Show every model that should run.

    Exits 0 if all of them answer as wanted, 1 if something is not ready or nothing runs.
    """
    from controlplane import statefolder
    from controlplane.local import client
    from scripts.show import table

    now = client.status(statefolder.home())
    if now is None:
        if as_json:
            click.echo("{}")
        click.echo("Nothing runs. Start with: ./serin up", err=True)
        raise SystemExit(1)
    if as_json:
        click.echo(json.dumps(now, indent=2))
    else:
        table.show(now)
        if url := now.get("prometheus_url"):
            click.echo(f"\nPrometheus: {url}")
        elif reason := now.get("prometheus_error"):
            click.echo(f"\n{reason}", err=True)
        if now.get("error"):
            click.echo(f"Error: {now['error']}", err=True)
    models = now.get("models", {}).values()
    if now.get("error") or any(model["state"] != "Ready" for model in models):
        raise SystemExit(1)
