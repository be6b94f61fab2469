"""What setup_cluster.sh runs: its options, and its words."""

import functools
import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import click

from controlplane.cluster import address, images, kind, releases
from controlplane.cluster.install import install, remove
from controlplane.cluster.kubectl import FIRST_STRICT_MINOR, Absent, ClusterError, Kubectl
from controlplane.cluster.models import NAMESPACE, Serving
from controlplane.cluster.records import ALL, MODELS, record, remember
from controlplane.cluster.steps import (
    KSERVE_FOLDER,
    STEPS,
    Setup,
    has_activator,
    job,
    overlay_documents,
)
from controlplane.errors import SerinError

_OWN_NAMESPACES = {"default", "local-path-storage", "serin-system"}
_STARTED = time.monotonic()


LAPTOP = "+serin"
"""How the version of the laptop's API ends: nothing can be installed there."""


def say(text: str) -> None:
    """One line of progress: when, and what."""
    moment = f"{time.monotonic() - _STARTED:6.1f} s  "
    click.echo(_fitted(f"{moment}{text}", len(moment), sys.stderr), err=True)


def _fitted(line: str, indent: int, stream: TextIO) -> str:
    """On a terminal a line goes on below its own text, and breaks between words."""
    if not stream.isatty():
        return line
    return textwrap.fill(
        line,
        shutil.get_terminal_size().columns,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--kind", "use_kind", is_flag=True, help="Make a kind cluster `serin`; use that.")
@click.option("--context", help="A context of your kubeconfig (default: the current one).")
@click.option(
    "--manifests",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of release manifests, for a cluster without a way out.",
)
@click.option("--s3", metavar="URL", help="An S3 store that is there, instead of MinIO.")
@click.option(
    "--overlay",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Kustomization to apply (default: kserve/overlays/production; local with --kind).",
)
@click.option("--domain", default="localhost", show_default=True, help="Of the models' hosts.")
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Serve this one, not all; may be repeated. Later runs remember; `all` for all again.",
)
@click.option(
    "--only", type=click.Choice([*(step.name for step in STEPS), "models"]), help="One step."
)
@click.option(
    "--smoke", is_flag=True, help="Train in a minute: proves the pipeline, not the models."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--down", is_flag=True, help="Remove what was added; asks before data.")
@click.option("--images", "list_images", is_flag=True, help="List the images; do nothing.")
@click.option(
    "--pin", is_flag=True, help="Fetch the releases of versions.env and pin their sha256 anew."
)
@click.option("--yes", is_flag=True, help="Answer every question with yes.")
def main(  # noqa: D103 - its help is the command's, below
    *,
    use_kind: bool,
    context: str | None,
    manifests: Path | None,
    s3: str | None,
    overlay: Path | None,
    domain: str,
    models: tuple[str, ...],
    only: str | None,
    smoke: bool,
    dry_run: bool,
    down: bool,
    list_images: bool,
    pin: bool,
    yes: bool,
) -> None:
    if pin:
        click.echo("\n".join(releases.pin_all()))
        return
    if use_kind and down:
        kind.delete(say, dry_run=dry_run)
        return
    overlay = overlay or KSERVE_FOLDER / "overlays" / ("local" if use_kind else "production")
    setup = Setup(
        *(Absent(None), overlay, manifests, s3, domain, dict(os.environ)),
        dry_run=dry_run or list_images,
        say=say,
    )
    there = [one["metadata"]["name"] for one in overlay_documents(setup, "InferenceService")]
    _check(models, there)
    if list_images:
        setup = replace(setup, models=_choice(models, there))
        _print_images(setup)
        return
    if use_kind and not dry_run:
        context = kind.create(say)
    kubectl = _cluster(context, use_kind=use_kind, dry_run=dry_run)
    setup = replace(setup, kubectl=kubectl)
    if down:
        _down(setup, yes=yes)
        return
    if not (yes or dry_run or use_kind):
        _ask_first(kubectl)
    setup = replace(setup, models=_remembered(kubectl, models, there, dry_run=dry_run))
    if use_kind and not dry_run:
        _load_images(setup, list(setup.models), only)
    if only != "models":
        install(setup, say, only)
    if only in {None, "models", "serin"}:
        _serve(setup, smoke=smoke, only=only)


def _serve(setup: Setup, *, smoke: bool, only: str | None) -> None:
    """The last step: versions, InferenceServices, ScaledObjects; these alone with `serin` only."""
    scaling = {
        one["metadata"]["labels"]["app.kubernetes.io/name"]: one
        for one in overlay_documents(setup, "ScaledObject")
    }
    services = overlay_documents(setup, "InferenceService")
    of_model = functools.partial(job, setup)
    serving = Serving(setup.kubectl, services, scaling, of_model, say, smoke=smoke)
    if only == "serin":
        if not setup.dry_run:
            serving.scale()
        return
    if setup.dry_run:
        serving.plan()
        return
    serving.serve()
    if services:
        click.echo(address.try_it(setup.kubectl, services[0]["metadata"]["name"]))


def _check(models: tuple[str, ...], there: list[str]) -> None:
    """Refuse a model that the overlay does not have."""
    if unknown := sorted(set(models) - {*there, ALL}):
        raise click.BadParameter(
            f"the overlay has no model {', '.join(unknown)}; it has {', '.join(there)}",
            param_hint="--model",
        )


def _choice(models: Sequence[str], there: list[str]) -> list[str]:
    return there if ALL in models or not models else [one for one in there if one in models]


def _remembered(
    kubectl: Kubectl, models: tuple[str, ...], there: list[str], *, dry_run: bool
) -> list[str]:
    """What to serve: what is named now and what serves; else what was named before; else all."""
    written = record(kubectl).get(MODELS, "")
    before = written.split(",") if written else []
    if models and before:  # what was named once and never came is not asked for again
        serving = {one["metadata"]["name"] for one in kubectl.items("isvc", "-n", NAMESPACE)}
        before = [one for one in _choice(before, there) if one in serving]
    named = [*models, *before]
    chosen = _choice(named, there)
    if before and len(chosen) < len(there):
        say(f"models {', '.join(chosen)}: chosen here and in earlier runs; --model all for all")
    choice = ALL if ALL in named or not named else ",".join(chosen)
    if choice != written and not dry_run:
        remember(kubectl, MODELS, choice)
    return chosen


def _cluster(context: str | None, *, use_kind: bool, dry_run: bool) -> Kubectl:
    """The cluster; a dry run without one takes it for empty."""
    if use_kind:
        context = kind.CONTEXT
        if dry_run and not kind.is_there():
            say(f"kind: would create cluster {kind.NAME}, build each model's images, load them")
            return Absent(None)
    kubectl = Kubectl(context)
    try:
        kubectl.require(FIRST_STRICT_MINOR)
        _await_answer(kubectl)
    except ClusterError as error:
        if not dry_run:
            raise
        say(f"no cluster to look at, so as for an empty one: {error}")
        return Absent(None)
    return kubectl


def _await_answer(kubectl: Kubectl) -> None:
    try:
        version = kubectl.run("get", "--raw", "/version")
    except ClusterError as error:
        raise ClusterError(
            f"{error} Name a cluster that answers (--context NAME), or make one (--kind)."
        ) from error
    if str(json.loads(version).get("gitVersion")).endswith(LAPTOP):
        raise ClusterError(
            "KUBECONFIG points at the laptop's Kubernetes, as `eval $(./serin env)` sets it: unset "
            "KUBECONFIG, name a cluster (--context NAME), or make one (--kind)."
        )


def _down(setup: Setup, *, yes: bool) -> None:
    if not setup.dry_run:
        remove(setup, say, lambda question: yes or click.confirm(question, err=True))
        return
    known = record(setup.kubectl)
    steps = [step.name for step in reversed(STEPS) if step.name in known]
    say(f"would remove {', '.join(steps)}" if steps else "nothing of Serin's is recorded here")


def _print_images(setup: Setup) -> None:
    found, unread = images.listed(setup)
    width = max(len(image) for image, _ in found)
    for image, told in found:
        line = f"{image:{width}}  {told}"
        click.echo(_fitted(line, 4, sys.stdout))
    if unread:
        raise ClusterError(f"not all are listed. {'. '.join(unread)}. {releases.ADVICE}")


main.help = """Install everything that serves models on a Kubernetes cluster, and serve them.

Runs again without harm: what is there is left as it is, what broke off is resumed.
"""


def _load_images(setup: Setup, models: list[str], only: str | None) -> None:
    """What kind's node must have before pods ask for it."""
    if only in {None, "serin"} and has_activator(setup):
        kind.load_image("activator", "controlplane/activator", say)
    if only in {None, "models"}:
        kind.load_images(models, say)


def _ask_first(kubectl: Kubectl) -> None:
    """A cluster that others use is not touched without a word."""
    if record(kubectl):
        return
    names = {one["metadata"]["name"] for one in kubectl.items("namespaces")}
    others = sorted(n for n in names - _OWN_NAMESPACES if not n.startswith("kube-"))
    if others:
        click.confirm(
            f"This cluster is in use (namespaces {', '.join(others)}). Install into it?",
            abort=True,
            err=True,
        )


if __name__ == "__main__":
    try:
        main(prog_name="./setup_cluster.sh")
    except SerinError as error:
        click.echo(_fitted(f"Error: {error}", 0, sys.stderr), err=True)
        sys.exit(1)
