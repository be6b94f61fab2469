"""What setup_cluster.sh runs: its options, and its words."""

import os
import sys
import time
from pathlib import Path

import click

from controlplane.cluster import address, kind, releases
from controlplane.cluster.install import install, record, remove
from controlplane.cluster.kubectl import FIRST_STRICT_MINOR, Kubectl
from controlplane.cluster.models import serve
from controlplane.cluster.steps import KSERVE_FOLDER, ROOT, STEPS, Setup, has_activator, services
from controlplane.errors import SerinError

_OWN_NAMESPACES = {"default", "local-path-storage", "serin-system"}
_STARTED = time.monotonic()


def say(text: str) -> None:
    """One line of progress: when, and what."""
    click.echo(f"{time.monotonic() - _STARTED:6.1f} s  {text}", err=True)


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
@click.option("--model", "models", multiple=True, help="Serve only this one; may be repeated.")
@click.option(
    "--only", type=click.Choice([*(step.name for step in STEPS), "models"]), help="One step."
)
@click.option(
    "--smoke", is_flag=True, help="Train in a minute: proves the pipeline, not the models."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--down", is_flag=True, help="Remove what was added; asks before data.")
@click.option("--pin", is_flag=True, help="Write the releases' sha256 to versions.env.")
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
    pin: bool,
    yes: bool,
) -> None:
    if pin:
        click.echo("\n".join(releases.pin()))
        return
    if use_kind and down:
        kind.delete(say)
        return
    if use_kind:
        context = kind.create(say)
    overlay = overlay or KSERVE_FOLDER / "overlays" / ("local" if use_kind else "production")
    kubectl = Kubectl(context)
    kubectl.require(FIRST_STRICT_MINOR)
    setup = Setup(kubectl, overlay, manifests, s3, domain, dict(os.environ), dry_run)
    if down:
        remove(setup, say, lambda question: yes or click.confirm(question, err=True))
        return
    if not (yes or dry_run or use_kind):
        _ask_first(kubectl)
    wanted = [one for one in services(setup) if not models or one["metadata"]["name"] in models]
    if use_kind and not dry_run:
        _load_images(setup, [one["metadata"]["name"] for one in wanted], only)
    if only != "models":
        install(setup, say, only)
    if only not in {None, "models"} or dry_run:
        return
    for name in serve(kubectl, wanted, ROOT / "training" / "jobs", say, smoke=smoke):
        say(f"{name}: serving")
    click.echo(address.try_it(kubectl, wanted[0]["metadata"]["name"]))


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
        main()
    except SerinError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
