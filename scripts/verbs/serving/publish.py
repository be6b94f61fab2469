"""`serin publish`: publishes a model file of your own, to serve it with `serin up`."""

import os
from pathlib import Path

import click

ROOT = Path(__file__).parents[3]
SECONDS = 600.0
"""For all of it: reading, converting, trying, uploading."""


@click.command("publish")
@click.argument("name")
@click.argument(
    "path", type=click.Path(exists=True, readable=True, path_type=Path), metavar="FILE|FOLDER"
)
@click.option(
    "--sample",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A V2 request as JSON to try the model with.  [default: one is made]",
)
@click.option(
    "--trust-pickle",
    is_flag=True,
    help="Read FILE although it is a pickle. A pickle is code: reading it runs whatever its author "
    "put there.",
)
def command(name: str, path: Path, sample: Path | None, trust_pickle: bool) -> None:
    """Publish a model from a file, under NAME. `serin up NAME` then serves it.

    \b
    serin publish wine model.onnx     an ONNX file
    serin publish wine folder         with weights beside its .onnx file
    serin publish wine model.skops    scikit-learn, saved by skops.io.dump
    serin publish wine model.joblib --trust-pickle
    serin publish mood folder         Hugging Face's text classifier: config.json,
                                      tokenizer.json and model.onnx

    Inputs and outputs are those of the graph. The model is tried before it is published: its
    answers must be finite, equal when asked twice, and the same alone and in a batch. Publish again
    to make another version.
    """
    from controlplane import parts, statefolder
    from controlplane.errors import SerinError
    from controlplane.local import published
    from controlplane.local.node import s3_server
    from controlplane.store import artifacts
    from controlplane.store.s3 import BUCKET
    from scripts.new_model import files

    home = statefolder.home()
    files.check_form(name)
    if files.is_in_repository(name):
        raise SerinError(
            f"{name} is a model of this repository, with a training script: publish the file under "
            f"another name, or train it with ./serin train {name}."
        )
    parts.install(_parts(path))
    arguments = [name, str(path.absolute())]
    arguments += [f"--sample={sample.absolute()}"] if sample else []
    arguments += ["--trust-pickle"] if trust_pickle else []
    with s3_server.available(home) as store:
        uri = f"s3://{BUCKET}/{name}"
        before = artifacts.published(store, uri)
        env = {**os.environ, **store.env(), "PYTHONPATH": str(ROOT)}
        code = _run(["training.modelfile", *arguments], env, path)
        if code:
            raise SystemExit(code)
        new = [version for version in artifacts.published(store, uri) if version not in before]
    manifest = published.write(home, name)
    if not new:
        click.echo(f"Already published; nothing new. Serve it: ./serin up {name}", err=True)
    elif before:
        click.echo(
            f"Serve it: ./serin up --newest {name}, or step by step: ./serin rollout start {name} "
            f"{new[0]}",
            err=True,
        )
    else:
        click.echo(f"Manifests: {manifest}\nServe it: ./serin up {name}", err=True)


def _run(command: list[str], env: dict[str, str], path: Path) -> int:
    """The exit code of the process that publishes; a file that ends it is told as a sentence."""
    import signal
    import subprocess

    from controlplane.errors import SerinError
    from scripts.verbs import modules

    late = (
        f"{path} was not read, tried and published within {SECONDS:.0f} s: nothing was published."
    )
    try:
        code = modules.run(command, env, SECONDS)
    except subprocess.TimeoutExpired:
        raise SerinError(late) from None
    if code == -signal.SIGXCPU:
        raise SerinError(late)
    if code < 0:
        raise SerinError(
            f"{path} ended the process that tried it (signal {-code}): it is damaged, or asks for "
            "more memory than there is. Nothing was published."
        )
    return code


def _parts(path: Path) -> list[str]:
    """The packages that reading a file needs beside the base ones."""
    if path.is_dir():
        return ["serve-onnx"] if (path / "config.json").is_file() else []
    with path.open("rb") as file:
        return ["publish"] if file.read(2) == b"PK" else []
