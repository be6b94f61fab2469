"""`serin train`: trains a model and publishes it, here or as a Job."""

import getpass
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import click

from controlplane.errors import SerinError

ROOT = Path(__file__).parents[3]


@click.command(
    "train",
    context_settings={"ignore_unknown_options": True},
    add_help_option=False,
)
@click.argument("model", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--job", "as_job", is_flag=True, help="Train in a Job, and show its progress.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FLAG[=VALUE]",
    help="A flag of the script, such as seed=7. Any number of times.",
)
@click.option("--resume", metavar="RUN", help="With --job: begin with that run's flags.")
@click.option(
    "--overlay",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --job: a kustomization whose Job it is. Default: training/jobs/MODEL.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --job: default is KUBECONFIG, or this laptop's platform.",
)
@click.option("--context", help="With --job: of the kubeconfig; default: its current one.")
@click.option("--channel", metavar="NAME", help="Then have all replicas swap to the version.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    model: str | None,
    arguments: tuple[str, ...],
    as_job: bool,
    settings: tuple[str, ...],
    channel: str | None,
    **where: Any,
) -> None:
    """Train MODEL and publish the result.

    \b
    serin train iris
    serin train mnist-forest --data ~/mnist  arguments go to the script
    serin train iris --smoke                 tests the pipeline, not the model
    serin train iris --channel stable        then all replicas of iris swap to it
    serin train iris --help                  lists all arguments
    serin train iris --job --set seed=7      in a Job; ./serin runs lists them

    The artifact goes to the running platform's store, or to the one in .serin. ./serin up serves a
    model's first version; if the model is already served, use ./serin up --newest.
    """
    from controlplane import parts, statefolder
    from controlplane.errors import UnknownModel
    from controlplane.local import client
    from controlplane.local.node import s3_server
    from controlplane.store import artifacts
    from controlplane.store.s3 import BUCKET
    from scripts.channels import after
    from scripts.verbs import modules

    if model in {"-h", "--help"}:
        click.echo(ctx.get_help())
        return
    if model is None or model.startswith("-"):
        given = f", then {model}" if model else ""
        raise click.UsageError(f"The model comes first{given}: ./serin train iris.", ctx)
    module = model.replace("-", "_")
    if not _is_script(module):
        raise UnknownModel(model, scripts())
    arguments += tuple(f"--{setting}" for setting in settings)
    if as_job:
        raise SystemExit(_train_as_job(ctx, model, arguments, channel=channel, **where))
    if misplaced := [f"--{name}" for name, value in where.items() if value]:
        raise click.UsageError(f"{misplaced[0]} goes with --job.", ctx)
    refused = _outline(module, arguments)
    if refused is not None:
        raise click.UsageError(refused) if refused else SystemExit(0)
    into = None if channel is None else after.checked(model, channel, arguments)
    parts.install([f"train-{model}"])
    running = client.status(statefolder.home()) or {}
    # The training's metrics are scraped where a platform runs; PUSHGATEWAY_URL of the shell wins.
    push = {"PUSHGATEWAY_URL": url} if (url := running.get("pushgateway_url")) else {}
    with s3_server.available(statefolder.home()) as store:
        uri = f"s3://{BUCKET}/{model}"
        before = artifacts.published(store, uri)
        record = {"RUN_ID": uuid.uuid4().hex, "RUN_BY": getpass.getuser()}
        env = {**push, **os.environ, **store.env(), **record, "PYTHONPATH": str(ROOT)}
        if code := modules.run([f"training.{module}", *arguments], env):
            raise SystemExit(code)
        if not any(one.startswith("--output") for one in arguments):
            made = [one for one in artifacts.published(store, uri) if one not in before]
            if into and made:
                after.swap(into, store, made[0])
                return
            served = bool(made) and made[0] == artifacts.newest(store, uri)
            click.echo(_next(model, arguments, made[0] if made else "", smoke=not served), err=True)


def _train_as_job(
    ctx: click.Context,
    model: str,
    arguments: tuple[str, ...],
    *,
    channel: str | None,
    resume: str | None,
    overlay: Path | None,
    kubeconfig: Path | None,
    context: str | None,
) -> int:
    """Start a Job and show its progress; the exit code."""
    from controlplane import statefolder
    from controlplane.local.node import s3_server
    from controlplane.trainingjobs import run_of
    from scripts.channels import after
    from scripts.runs import follow, listed, start

    if any(one.split("=")[0] == "--output" for one in arguments):
        raise click.UsageError("A Job publishes: --output goes without --job.", ctx)
    into = channel and after.checked(model, channel, arguments, kubeconfig, context)
    documents = start.documents(model, overlay)
    with listed.place(kubeconfig, context) as place:
        if resume:
            run = listed.find(place, resume)
            if run["model"] != model:
                raise click.UsageError(f"Run {run['run']} is of {run['model']}.", ctx)
            arguments = (*map(str, run["flags"]), *arguments)
        refused = _outline(model.replace("-", "_"), arguments)
        if refused is not None:
            raise click.UsageError(refused) if refused else SystemExit(0)
        job = start.start(place.api, model, documents, arguments)
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        run = run_of(job)
        click.echo(f"Run {run['run']} of {model} began, in Job {name}.", err=True)
        try:
            job = follow.until_over(place.api, name, uid)
        except KeyboardInterrupt:
            click.echo(
                f"\nThe training goes on. Watch it: ./serin runs logs {run['run']} -f\n"
                f"Cancel it: ./serin runs cancel {run['run']}",
                err=True,
            )
            raise
        run = run_of(job)
        if run["state"] == "Complete":
            uri = str(run["storageUri"] or listed.log(place, run).strip().rpartition("\n")[2])
            click.echo(uri)
            if into:
                with s3_server.available(statefolder.home()) as store:
                    after.swap(into, store, uri.rpartition("/")[2])
                return 0
            smoke = "--smoke" in arguments
            click.echo(_next(model, arguments, uri.rpartition("/")[2], smoke=smoke), err=True)
            return 0
        why = listed.killed(place, run)
        last = listed.log(place, run).strip().rpartition("\n")[2]
    said = ". ".join(filter(None, (run["error"], why, last.removeprefix("error: "))))
    raise SerinError(f"Run {run['run']} of {model} failed: {said}. More: ./serin runs logs {name}")


def _next(model: str, arguments: tuple[str, ...], version: str, *, smoke: bool) -> str:
    """What to do with what was published; an empty version is one that was there already."""
    if not version:
        seed = 8 if "7" in arguments or "--seed=7" in arguments else 7
        return (
            "Already published; nothing new: the same data, seed and code give the same version. "
            f"Another one: ./serin train {model} --seed {seed}"
        )
    if smoke:
        return (
            f"A smoke version is served by its name only: ./serin rollback {model} --to {version}"
        )
    return (
        f"Serve it: ./serin up --newest {model}, or step by step: "
        f"./serin rollout start {model} {version}"
    )


def _outline(module: str, arguments: tuple[str, ...]) -> str | None:
    """Show the script's help, or say what is wrong with its arguments, before anything is loaded.

    Empty where the help was shown, and None where there is nothing to say.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-m", "scripts.verbs.outline", f"training.{module}", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 2:
        return done.stderr.strip()
    if done.returncode == 0 and done.stdout:
        click.echo(done.stdout, nl=False)
        return ""
    return None


def scripts() -> list[str]:
    """Models that a training script exists for: its module reads arguments when run."""
    names = (path.stem for path in (ROOT / "training").glob("[a-z]*.py"))
    return [name.replace("_", "-") for name in names if _is_script(name)]


def _is_script(module: str) -> bool:
    path = ROOT / "training" / f"{module}.py"
    return path.exists() and '__name__ == "__main__"' in path.read_text("utf-8")
