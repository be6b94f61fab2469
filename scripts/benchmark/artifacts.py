"""What all servers of a run serve: one artifact a model, trained for the run or given."""

import shutil
import subprocess
import sys
from pathlib import Path

import click

from controlplane import parts
from scripts.benchmark.errors import BenchmarkError
from scripts.benchmark.repository import ROOT

MANIFEST = "MANIFEST.json"
# What peers load, each as it is able to; Serin loads the ONNX beside it.
NATIVES = ("model.joblib", "model.pt2")


def artifact_of(model: str, home: Path, given: Path | None, data: Path | None) -> Path:
    """The folder with a model's artifact, and with what peers load.

    Raises:
        BenchmarkError: training failed, or the folder lacks what a server loads.
    """
    folder = trained(model, home, given, data)
    _require(model, folder, NATIVES)
    return folder


def trained(model: str, home: Path, given: Path | None, data: Path | None) -> Path:
    """The folder with a model's artifact: in `given` if that is named, else trained now.

    Raises:
        BenchmarkError: training failed, or the folder holds no artifact.
    """
    folder = (given / model).resolve() if given else home / "models" / model
    if not given:
        shutil.rmtree(folder, ignore_errors=True)
        parts.install([f"train-{model}"])
        click.echo(f"Training {model}.", err=True)
        command = [*(sys.executable, "-m", f"training.{model.replace('-', '_')}"), "--output"]
        command += [str(folder)]
        if data and model.startswith("mnist-"):
            command += ["--data", str(data.resolve())]
        if subprocess.run(command, check=False, cwd=ROOT, stdout=subprocess.DEVNULL).returncode:
            raise BenchmarkError(f"training {model} failed; the reason is above")
    _require(model, folder, (MANIFEST,))
    return folder


def _require(model: str, folder: Path, names: tuple[str, ...]) -> None:
    if not any((folder / name).exists() for name in names):
        raise BenchmarkError(
            f"{folder} has no {' or '.join(names)}, and without it {model} is not compared"
        )
