"""`serin channel`: has all replicas of a model swap versions at one instant."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts.verbs.where import KUBECONFIG, NAMESPACE, taking

if TYPE_CHECKING:
    from controlplane.channels.writer import Done
    from controlplane.kubernetes.client import Kubernetes
    from controlplane.store.followed import Channel

_CHANNEL = click.option("--channel", default="stable", show_default=True, metavar="NAME")
_MODEL = click.argument("model")


def _opened(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the options that say which channel of which cluster, as `opened`."""

    @functools.wraps(function)
    def call(
        model: str,
        *arguments: object,
        channel: str,
        kubeconfig: Path | None,
        context: str | None,
        namespace: str | None,
        **options: object,
    ) -> Any:
        with _open(model, channel, kubeconfig, context, namespace) as opened:
            return function(opened, *arguments, **options)

    return taking(call, _CHANNEL, *KUBECONFIG, NAMESPACE)


@contextmanager
def _open(
    model: str, name: str, kubeconfig: Path | None, context: str | None, namespace: str | None
) -> "Iterator[tuple[Kubernetes, Channel]]":
    from controlplane import statefolder
    from controlplane.local.node import s3_server
    from controlplane.store.channels import parsed
    from controlplane.store.followed import Channel
    from scripts.rollouts.target import Target

    if parsed(f"s3://models/{model}@{name}") is None:
        raise click.UsageError(
            f"--channel {name!r}: expected lower-case letters, digits and hyphens."
        )
    target = Target.of(kubeconfig, context, namespace, "")
    with target.api() as api, s3_server.available(statefolder.home()) as store:
        target.check(api, model)
        yield api, Channel(store, model, name)


@click.group("channel")
def command() -> None:
    """Have all replicas of a model swap versions at one instant.

    \b
    serin channel set iris 1f2e       prepare it everywhere, then switch
    serin channel status iris         a line for each replica
    serin channel rollback iris       the version before
    serin channel history iris

    Replicas follow a channel when their storageUri is s3://models/iris@stable. Either all of them
    switch, or nothing happens and this says why.
    """


@command.command("set")
@_MODEL
@click.argument("version")
@click.option("--why", default="", metavar="TEXT", help="For the history.")
@click.option(
    "--mode",
    type=click.Choice(["strict", "available"]),
    help="What a replica does that cannot follow: answer nobody, or go on and be counted. Default: "
    "as before, at first strict.",
)
@click.option(
    "--keep",
    type=click.FloatRange(min=0, max=86400),
    metavar="SECONDS",
    help="How long the version before stays loaded. Default: as before, at first 60.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=5, max=86400),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="How long replicas may take to prepare, and to compare.",
)
@click.option(
    "--shadow",
    type=click.IntRange(min=0, max=100_000),
    default=0,
    metavar="N",
    help="Commit only if each replica's answers to N requests agree with those that it serves.",
)
@_opened
def set_(
    opened: "tuple[Kubernetes, Channel]",
    version: str,
    why: str,
    mode: str | None,
    keep: float | None,
    timeout: float,
    shadow: int,
) -> None:
    """Have every replica of MODEL serve VERSION; its beginning is enough.

    Ctrl-C before the commit takes the proposal back.
    """
    from controlplane.channels.writer import Wish, Writer
    from controlplane.store.catalog import Catalog

    api, channel = opened
    whole = Catalog(channel.store).find(channel.model, version).version
    done = Writer(api, channel, _say).set(Wish(whole, why, mode, keep, timeout, shadow))
    _tell(channel, done)


@command.command("rollback")
@_MODEL
@click.option("--why", default="", metavar="TEXT", help="For the history.")
@_opened
def rollback(opened: "tuple[Kubernetes, Channel]", why: str) -> None:
    """Have every replica of MODEL serve the version before.

    While its engine is kept everywhere, that takes a second; else it is prepared first.
    """
    from controlplane.channels.writer import Writer

    api, channel = opened
    _tell(channel, Writer(api, channel, _say).back(why))


@command.command("status")
@_MODEL
@click.option("-o", "--output", type=click.Choice(["json"]), help="Print JSON.")
@_opened
def status(opened: "tuple[Kubernetes, Channel]", output: str | None) -> None:
    """Show what MODEL's channel says, and a line for each replica."""
    from controlplane.channels import pods
    from scripts.channels import shown
    from scripts.show import columns

    api, channel = opened
    document = _existing(channel)
    found, reports = pods.following(api, channel), channel.reports()
    if output:
        click.echo(shown.as_json(document, reports, found))
        return
    click.echo(shown.description(channel, document), nl=False)
    if found:
        click.echo()
        columns.show(shown.REPLICAS, shown.replicas(reports, found))
        for note in shown.notes(reports, found):
            click.echo(note)
    else:
        click.echo(shown.nobody(channel), err=True)


@command.command("history")
@_MODEL
@click.option("-o", "--output", type=click.Choice(["json"]), help="Print JSON.")
@_opened
def history(opened: "tuple[Kubernetes, Channel]", output: str | None) -> None:
    """Show every commit of MODEL's channel, the last first."""
    import json

    from scripts.channels import shown
    from scripts.show import columns

    _, channel = opened
    _existing(channel)
    entries = channel.history()
    if output:
        click.echo(json.dumps({"items": entries}, indent=1))
    else:
        columns.show(shown.HISTORY, shown.history(entries))


def _existing(channel: "Channel") -> dict[str, Any]:
    from controlplane.errors import SerinError

    document = channel.read()
    if document is None:
        raise SerinError(
            f"There is no channel {channel.name} of {channel.model}: make it with ./serin channel "
            f"set {channel.model} VERSION"
        )
    return document


def _say(text: str) -> None:
    click.echo(text, err=True)


def _tell(channel: "Channel", done: "Done") -> None:
    from scripts.channels import shown

    said, more = shown.done(channel, done)
    click.echo(said)
    click.echo(more, err=True)
