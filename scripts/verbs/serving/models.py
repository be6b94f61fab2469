"""`serin models`: lists, compares, verifies and deletes published versions."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from controlplane.store.catalog import Catalog, Version

_output = click.option(
    "-o",
    "--output",
    type=click.Choice(["json"]),
    help="Print JSON instead of a table.",
)


@click.group("models", invoke_without_command=True)
@_output
@click.pass_context
def command(ctx: click.Context, output: str | None) -> None:
    """Manage published versions; without a verb, list all.

    \b
    serin models
    serin models list iris -o json
    serin models show iris 1f2e     the beginning of a version is enough
    serin models diff iris 1f2e 77ab
    serin models verify             hashes every byte again
    serin models gc --keep 3 --dry-run

    Reads the running platform's store, the one in .serin, or that of SERIN_S3_ENDPOINT.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, model=None, output=output)


@command.command("list")
@click.argument("model", required=False)
@_output
def list_(model: str | None, output: str | None) -> None:
    """List versions, the newest first."""
    from controlplane import statefolder
    from controlplane.local import client
    from scripts.channels.served import behind_channels
    from scripts.show import columns, lines, versions

    now = client.status(statefolder.home())
    with _catalog() as catalog:
        found = _versions(catalog, model)
        serving = versions.serving(behind_channels(now, catalog.store) if now else None)
    if output:
        click.echo(versions.as_json({"items": [versions.entry(one, serving) for one in found]}))
    elif found:
        width = lines.columns() if sys.stdout.isatty() else None
        columns.show(versions.HEADER, [versions.row(one, serving, width) for one in found])
    else:
        click.echo("Nothing is published. Train a model: ./serin train iris", err=True)


@command.command("show")
@click.argument("model")
@click.argument("version")
@_output
def show(model: str, version: str, output: str | None) -> None:
    """Show a version's metrics, data, code, tensors and files, and the runs that made it."""
    from controlplane import statefolder
    from controlplane.local import client
    from controlplane.store import runs
    from scripts.channels.served import behind_channels
    from scripts.show import versions

    now = client.status(statefolder.home())
    with _catalog() as catalog:
        found = _find(catalog, model, version)
        serving = versions.serving(behind_channels(now, catalog.store) if now else None)
        made_by = runs.of_version(catalog.store, found.model, found.version)
    if output:
        more = {"manifest": found.manifest, "runs": made_by}
        click.echo(versions.as_json(versions.entry(found, serving) | more))
    else:
        click.echo(versions.description(found, serving), nl=False)
        for run in made_by:
            click.echo(versions.lineage(run))


@command.command("diff")
@click.argument("model")
@click.argument("version")
@click.argument("other")
@_output
def diff(model: str, version: str, other: str, output: str | None) -> None:
    """Show how two versions differ; exits 0 in both cases."""
    from controlplane.differences import shown
    from scripts.show import columns, versions

    with _catalog() as catalog:
        pair = _find(catalog, model, version), _find(catalog, model, other)
    rows = versions.differences(*pair)
    if output:
        changed = [{"field": field, "from": old, "to": new} for field, old, new in rows]
        names = {"from": pair[0].version, "to": pair[1].version}
        click.echo(versions.as_json({"model": model, **names, "differences": changed}))
    elif rows:
        columns.show(
            ("FIELD", pair[0].version, pair[1].version),
            [(field, shown(old), shown(new)) for field, old, new in rows],
        )
    else:
        click.echo("They are the same version.", err=True)


@command.command("verify")
@click.argument("model", required=False)
@click.argument("version", required=False)
def verify(model: str | None, version: str | None) -> None:
    """Hash every published byte again; exits 1 if anything has changed.

    Publishing the same artifact again repairs it.
    """
    from controlplane.store.integrity import damage

    broken = 0
    with _catalog() as catalog:
        found = _versions(catalog, model)
        if model and version:
            found = [_find(catalog, model, version)]
        for one in found:
            wrong = damage(catalog.store, one)
            broken += bool(wrong)
            click.echo(f"{one.model}/{one.version}  {'damaged' if wrong else 'sound'}")
            for sentence in wrong:
                click.echo(f"  {sentence}")
    if broken:
        click.echo(
            f"Error: {broken} of {len(found)} versions are damaged: publish them again, or roll "
            "back from them.",
            err=True,
        )
        raise SystemExit(1)


@command.command("gc")
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    required=True,
    metavar="N",
    help="Number of each model's newest versions to keep.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be deleted, and delete nothing.")
@click.option(
    "--no-cluster",
    is_flag=True,
    help="No cluster uses this store: do not ask kubectl which versions one serves.",
)
def gc(keep: int, dry_run: bool, no_cluster: bool) -> None:
    """Delete old versions.

    Keeps every version that an InferenceService names, here or in kubectl's current cluster, and
    the version served before it, because a rollback needs it. Also deletes what has been half
    published for a day.
    """
    from datetime import UTC, datetime

    from controlplane import statefolder
    from controlplane.cluster.kubectl import ClusterError, Kubectl
    from controlplane.errors import SerinError
    from controlplane.store import retention, s3
    from scripts.show import versions

    referenced = retention.on_this_machine(statefolder.home(), statefolder.ROOT)
    if s3.external() and not no_cluster:
        try:
            referenced |= retention.in_cluster(Kubectl(None).items("inferenceservices", "-A"))
        except ClusterError as error:
            raise SerinError(
                f"Which versions a cluster serves from this store is not known ({error}): set "
                "kubectl's context, or say --no-cluster if none does."
            ) from error
    with _catalog() as catalog:
        referenced |= retention.in_channels(catalog.store)
        chosen = retention.doomed(catalog.all, keep, referenced, datetime.now(UTC))
        for one in chosen:
            if not dry_run:
                retention.delete(catalog.store, one)
            done = "would delete" if dry_run else "deleted"
            click.echo(f"{done} {one.model}/{one.version}  {versions.size(one.size_bytes)}")
    if not chosen:
        click.echo("Nothing to delete.", err=True)


@contextmanager
def _catalog() -> Iterator["Catalog"]:
    from controlplane import statefolder
    from controlplane.local.node import s3_server
    from controlplane.store.catalog import Catalog

    with s3_server.available(statefolder.home()) as store:
        yield Catalog(store)


def _versions(catalog: "Catalog", model: str | None) -> list["Version"]:
    from controlplane.local import client

    if model is not None:
        client.check([model], catalog.models())
    return catalog.versions(model)


def _find(catalog: "Catalog", model: str, version: str) -> "Version":
    from controlplane.local import client

    client.check([model], catalog.models())
    return catalog.find(model, version)
