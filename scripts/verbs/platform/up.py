"""`serin up`: trains models that have no version, and serves them behind Envoy."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from controlplane.local.client import Platform


@click.command("up")
@click.argument("models", nargs=-1, metavar="[MODEL…]")
@click.option(
    "--replicas",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Processes per model.  [default: the ScaledObject's minReplicaCount]",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="The gateway's port on loopback, 0 for any free one.  [default: SERIN_PORT, or 8080]",
)
@click.option(
    "--newest", is_flag=True, help="Serve the newest version, whatever was chosen before."
)
def command(
    models: tuple[str, ...], replicas: int | None, port: int | None, *, newest: bool
) -> None:
    """Serve MODELs, or every model that has a manifest.

    Trains a model first if it has no published version. Serves again what was served before, and
    reports if a newer version is published. Does not change models that you do not name.
    """
    from controlplane import parts, settings
    from controlplane.local import client
    from scripts.client.gateway import Gateway
    from scripts.show import curl
    from scripts.show.progress import Progress

    names = list(models) or client.models()
    client.check(names)
    settings.check()  # before packages are fetched, which takes minutes
    parts.install(f"serve-{name}" for name in names)
    platform = client.up(names, replicas, port, newest=newest)
    try:
        with Progress() as progress:
            state = progress.until_served(platform, names)
    except BaseException:
        if _interrupted():
            _take_back(platform)
        raise
    curl.show(state, names, Gateway.parse(state["gateway_url"]).credentials)
    for name, version in client.newer(state, names):
        click.echo(
            f"{name} serves {state['models'][name]['version']}; {version} is newer: "
            f"./serin up --newest {name}",
            err=True,
        )


def _take_back(platform: "Platform") -> None:
    """End what this command started, or the models that it added and that have no version."""
    from controlplane.local import client

    if platform.started_here:
        click.echo("\nStopping what this command started …", err=True)
        client.down(platform.home)
        return
    from controlplane.local import apiclient

    if names := apiclient.withdraw(platform):
        told = ", ".join(names)
        click.echo(f"\nTaken back, because it has no version: {told}. The rest goes on.", err=True)
    else:
        click.echo("\nInterrupted. What runs goes on: ./serin status", err=True)


def _interrupted() -> bool:
    """Whether the failure at hand is Ctrl-C (or a signal like it) rather than an error."""
    import sys

    kind = sys.exc_info()[0]
    return kind is not None and not issubclass(kind, Exception)
