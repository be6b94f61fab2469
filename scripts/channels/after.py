"""What `serin train --channel` does when a training is over."""

from dataclasses import dataclass
from pathlib import Path

import click

from controlplane.store.channels import parsed
from controlplane.store.followed import Channel
from controlplane.store.s3 import Store
from scripts.channels import shown
from scripts.rollouts.target import Target


@dataclass(frozen=True, slots=True)
class Into:
    """A channel that a training's version is for."""

    model: str
    name: str
    target: Target


def checked(
    model: str,
    name: str,
    arguments: tuple[str, ...],
    kubeconfig: Path | None = None,
    context: str | None = None,
) -> Into:
    """Refuse before a training what would be refused after it.

    Raises:
        click.UsageError: No channel has such a name, or the training publishes no model.
        SerinError: The model is not served.
    """
    if parsed(f"s3://models/{model}@{name}") is None:
        raise click.UsageError(
            f"--channel {name!r}: expected lower-case letters, digits and hyphens."
        )
    for flag in ("--output", "--smoke"):
        if any(one.partition("=")[0] == flag for one in arguments):
            raise click.UsageError(f"{flag} publishes no model that --channel could serve.")
    target = Target.of(kubeconfig, context, None, "")
    with target.api() as api:
        target.check(api, model)
    return Into(model, name, target)


def swap(into: Into, store: Store, version: str) -> None:
    """Have all replicas swap to what was published."""
    from controlplane.channels.writer import Wish, Writer

    channel = Channel(store, into.model, into.name)
    document = channel.read()
    if document is not None and document["version"] == version:
        click.echo(f"{channel.uri} is {version} already.", err=True)
        return
    with into.target.api() as api:
        writer = Writer(api, channel, lambda text: click.echo(text, err=True))
        done = writer.set(Wish(version, "trained", None, None, 120.0))
    for line in shown.done(channel, done):
        click.echo(line, err=True)
