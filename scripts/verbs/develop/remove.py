"""`serin remove`: takes away a model that `serin new` or `serin publish` made."""

import sys

import click

WITH_SERIN = ("causal-lm", "iris", "mnist-cnn", "mnist-forest", "nli")


@click.group("remove")
def command() -> None:
    """Take away something that was made here."""


@command.command("model")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def model(name: str, yes: bool) -> None:
    """Take away the model NAME: what `serin new model` or `serin publish` wrote.

    \b
    serin remove model wine
    serin remove model fraud-score --yes

    Lists what goes, then asks. Of a model that was published from a file: its manifests, what
    serves it and its versions in the store. Of a model of this repository: its files and its lines
    in others; its versions stay in the store.
    """
    from controlplane import statefolder
    from controlplane.errors import SerinError, UnknownModel
    from controlplane.local import client, published
    from scripts.new_model import files

    home = statefolder.home()
    if name in WITH_SERIN:
        raise SerinError(f"{name} comes with Serin, and its tests name it: it stays.")
    if name in published.names(home):
        _published(name, sure=yes)
    elif files.is_in_repository(name):
        _ours(name, sure=yes)
    else:
        raise UnknownModel(name, client.models())


def _published(name: str, *, sure: bool) -> None:
    from controlplane import statefolder
    from controlplane.local import apiclient, published
    from controlplane.local.node import s3_server
    from controlplane.store import retention
    from controlplane.store.catalog import Catalog

    home = statefolder.home()
    running = statefolder.running(home) is not None
    with s3_server.available(home) as store:
        versions = [one for one in Catalog(store).all if one.model == name]
        going = [f"its manifests: {home.published / f'{name}.yaml'}"]
        going += ["its InferenceService and ScaledObjects, and what serves it"]
        going += [f"its versions: {', '.join(one.version for one in versions)}"] if versions else []
        _ask(name, going, sure=sure)
        published.remove(home, name)
        if running:
            apiclient.remove(home, name)
        else:
            published.forget(home, name)
        for version in versions:
            retention.delete(store, version)
    click.echo(f"{name} is gone.", err=True)


def _ours(name: str, *, sure: bool) -> None:
    from controlplane import statefolder
    from controlplane.local import apiclient
    from scripts.new_model import files

    home = statefolder.home()
    made, listed = files.made(name), files.unlisted(name)
    going = [*(f"removed  {path}" for path in made), *(f"changed  {path}" for path in listed)]
    _ask(name, going, sure=sure)
    if statefolder.running(home) is not None:
        apiclient.remove(home, name)
    for path, text in listed.items():
        (files.ROOT / path).write_text(text, "utf-8")
    for path in made:
        (files.ROOT / path).unlink()
        parent = (files.ROOT / path).parent
        if parent.name == name and not any(parent.iterdir()):
            parent.rmdir()
    click.echo(f"{name} is gone. Its versions stay in the store: ./serin models list", err=True)


def _ask(name: str, going: list[str], *, sure: bool) -> None:
    """Say what goes; go on where somebody agrees.

    Raises:
        UsageError: nobody can be asked, and --yes was not given.
    """
    if sure:
        return
    click.echo(f"To remove {name}:", err=True)
    for line in going:
        click.echo(f"  {line}", err=True)
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here: say --yes to go on.")
    click.confirm("Go on?", abort=True, err=True)
