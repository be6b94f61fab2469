"""`serin env`: what makes kubectl speak to this laptop, for `eval $(./serin env)`."""

import shlex

import click


@click.command("env")
def command() -> None:
    """Print the shell line that makes kubectl speak to what runs here.

    \b
    eval $(./serin env)
    kubectl get isvc -o wide
    """
    from controlplane import statefolder
    from controlplane.errors import SerinError
    from controlplane.local import client

    home = statefolder.home()
    if client.status(home) is None or not home.kubeconfig.exists():
        raise SerinError("Nothing runs, so there is nothing to ask. Start with: ./serin up")
    click.echo(f"export KUBECONFIG={shlex.quote(str(home.kubeconfig))}")
