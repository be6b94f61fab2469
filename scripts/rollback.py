"""`serin rollback`: serves the version before the current one again, or another one."""

import click


@click.command("rollback")
@click.argument("model")
@click.option(
    "--to",
    metavar="VERSION",
    help="A published version, or the beginning of its name. Without it: the one served before.",
)
def command(model: str, to: str | None) -> None:
    """Roll MODEL back, without losing a request.

    \b
    serin rollback mnist-forest             what was served before; once more: forth again
    serin rollback mnist-forest --to 1f2e   any published version

    Writes the InferenceService's storageUri, as kubectl patch would. The next ./serin up of this
    model serves the newest version again.
    """
    from controlplane import statefolder
    from controlplane.local import client
    from controlplane.local.apiclient import Kubernetes
    from controlplane.local.node import s3_server
    from controlplane.store.catalog import Catalog
    from controlplane.store.served import target
    from scripts.show.progress import until_version

    home = statefolder.home()
    if client.status(home) is None:
        click.echo(
            "Error: nothing runs that could be rolled back. Start with: ./serin up", err=True
        )
        raise SystemExit(1)
    with Kubernetes(home) as api, s3_server.available(home) as store:
        current = api.service(model)["spec"]["predictor"]["model"].get("storageUri", "")
        version = target(Catalog(store), model, current, api.replica_sets(), to)
        if version.uri == current:
            click.echo(f"{model} is to serve {version.version} already.")
            return
        before = current.rpartition("/")[2]
        click.echo(f"{model}: {before} → {version.version}", err=True)
        api.serve(model, version.uri)
    until_version(home, model, version.version)
    click.echo(f"{model} serves {version.version}.")
