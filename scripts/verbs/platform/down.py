"""`serin down`: stops everything and leaves no process, port or temporary file."""

import click


@click.command("down")
def command() -> None:
    """Stop everything that runs here.

    Closes the gateway first and finishes requests in progress. Models, the store and logs stay in
    .serin. It succeeds if nothing runs.
    """
    from controlplane import statefolder
    from controlplane.local import client

    home = statefolder.home()
    if client.down(home):
        click.echo("Stopped.", err=True)
    else:
        click.echo("Nothing runs.", err=True)
