"""`serin rollback`: serves the previous version again, or the version that you name."""

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
    serin rollback mnist-forest            the previous version; twice: back
    serin rollback mnist-forest --to 1f2e  any published version

    If the requested version does not serve yet, this returns to the version that serves. It writes
    the InferenceService's storageUri, as kubectl patch would, and that stays until you choose
    another version, for example with ./serin up --newest.
    """
    from controlplane import statefolder
    from controlplane.errors import SerinError
    from controlplane.kubernetes.client import Access, Kubernetes
    from controlplane.local import client
    from controlplane.local.node import s3_server
    from controlplane.store.catalog import Catalog
    from controlplane.store.served import target
    from scripts.client import asked
    from scripts.show.progress import until_version

    home = statefolder.home()
    now = asked.platform(None, model)
    with Kubernetes(Access(home.kubeconfig)) as api, s3_server.available(home) as store:
        service = api.get("inferenceservices", model)
        if service is None:
            raise client.unserved(model, now.get("models", {}))
        current = service["spec"]["predictor"]["model"].get("storageUri", "")
        if "@" in current:
            raise SerinError(
                f"{model} follows {current}: go back with ./serin channel rollback {model}"
                + (f", or ./serin channel set {model} {to}" if to else "")
            )
        pods = now.get("models", {}).get(model, {}).get("pods", ())
        answering = {
            pod["version"]
            for pod in pods
            if pod["ready"] and pod["deployment"] == f"{model}-predictor"
        }
        version = target(Catalog(store), model, current, api.list("replicasets"), to, answering)
        if version.uri == current:
            click.echo(f"{model} is to serve {version.version} already.")
            return
        before = current.rpartition("/")[2]
        click.echo(f"{model}: {before} → {version.version}", err=True)
        served = {"predictor": {"model": {"storageUri": version.uri}}}
        api.patch("inferenceservices", model, {"spec": served})
    until_version(home, model, version.version)
    click.echo(f"{model} serves {version.version}.")
