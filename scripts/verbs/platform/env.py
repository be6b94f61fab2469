"""`serin env`: prints the settings that point kubectl at this laptop."""

import shlex

import click


@click.command("env")
def command() -> None:
    """Print the shell line that points kubectl at this laptop's platform.

    \b
    eval $(./serin env) && kubectl get isvc -o wide
    """
    from controlplane import statefolder
    from controlplane.errors import NotRunning
    from controlplane.local import client

    home = statefolder.home()
    try:
        client.running(home)
    except NotRunning:
        # `eval` of nothing succeeds, and kubectl would then ask whatever else is configured.
        click.echo("false")
        raise
    click.echo(f"export KUBECONFIG={shlex.quote(str(home.kubeconfig))}")
