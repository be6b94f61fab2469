"""`serin train`: trains a model here and publishes it to the platform's store."""

import os
import subprocess
import sys
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]


@click.command(
    "train",
    context_settings={"ignore_unknown_options": True},
    add_help_option=False,
)
@click.argument("model", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(ctx: click.Context, model: str | None, arguments: tuple[str, ...]) -> None:
    """Train MODEL and publish the result.

    \b
    serin train iris
    serin train mnist-forest --data ~/mnist     arguments go to the training script
    serin train iris --smoke                    proves the pipeline, not the model
    serin train iris --help                     lists all arguments

    The artifact goes to the running platform's store, or to the one in .serin. ./serin up then
    serves it.
    """
    from controlplane import parts, statefolder
    from controlplane.local import client
    from controlplane.local.node import s3_server

    if model is None or model.startswith("-"):
        click.echo(ctx.get_help())
        raise SystemExit(0 if model in {"-h", "--help"} else 2)
    module = model.replace("-", "_")
    if not _is_script(module):
        known = ", ".join(sorted(scripts()))
        raise click.UsageError(f"There is no training script for {model!r}. There are: {known}.")
    parts.install([f"train-{model}"])
    running = client.status(statefolder.home()) or {}
    # The training's metrics are scraped where a platform runs; PUSHGATEWAY_URL of the shell wins.
    push = {"PUSHGATEWAY_URL": url} if (url := running.get("pushgateway_url")) else {}
    with s3_server.available(statefolder.home()) as store:
        done = subprocess.run(
            [sys.executable, "-P", "-m", f"training.{module}", *arguments],
            env={**push, **os.environ, **store.env(), "PYTHONPATH": str(ROOT)},
            check=False,
        )
    raise SystemExit(done.returncode)


def scripts() -> list[str]:
    """Models that a training script exists for: its module reads arguments when run."""
    names = (path.stem for path in (ROOT / "training").glob("*.py"))
    return [name.replace("_", "-") for name in names if _is_script(name)]


def _is_script(module: str) -> bool:
    path = ROOT / "training" / f"{module}.py"
    return path.exists() and "__main__" in path.read_text("utf-8")
