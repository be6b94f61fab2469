"""A training that is killed: nothing half of it is visible, and the next run publishes it whole."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from predictors.runtime import read_artifact
from tests.support.chance import seed
from tests.support.predictor import discovered_models
from tests.support.required import ROOT
from tests.support.s3 import S3Server
from training.publish.registry import Registry

KILLS = 3
RUN_SECONDS = 300
QUICK = "iris"  # one stands for all that share training/publish; importing torch takes long
OTHERS = pytest.mark.skipif(
    "KILLED_TRAINING" not in os.environ,
    reason="six trainings a model take minutes; KILLED_TRAINING=1 runs them",
)


def command(model: str, *flags: str | Path) -> list[str]:
    """A model's training script."""
    module = f"training.{model.replace('-', '_')}"
    return [sys.executable, "-m", module, "--smoke", *map(str, flags)]


def to_its_end(argv: list[str], environment: dict[str, str]) -> str:
    """Run a training; returns the last line of stdout, the version's URI."""
    done = subprocess.run(
        argv,
        cwd=ROOT,
        env=environment,
        timeout=RUN_SECONDS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def killed(argv: list[str], environment: dict[str, str], after: float, objects: Path) -> None:
    """Run a training and kill -9 it after some seconds, or once an object is in the store."""
    process = subprocess.Popen(
        argv,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stop = time.monotonic() + after
    while process.poll() is None and time.monotonic() < stop and not any(objects.rglob("*.*")):
        time.sleep(0.002)
    process.kill()
    process.wait(10)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "model",
    [one if one == QUICK else pytest.param(one, marks=OTHERS) for one in discovered_models()],
)
def test_killed_anywhere_it_leaves_nothing_half_and_the_next_run_publishes_one_version(
    model: str, s3: S3Server, tmp_path: Path
) -> None:
    """At three random points and while it publishes; what comes of it is what a whole run makes."""
    environment = dict(os.environ) | s3.environment | {"TMPDIR": str(tmp_path)}
    folder = s3.folder / "models" / model
    started = time.monotonic()
    to_its_end(command(model, "--output", tmp_path / "whole"), environment)
    seconds = time.monotonic() - started
    chance = random.Random(seed("KILL_SEED"))
    points = [chance.uniform(0, 0.9) * seconds for _ in range(KILLS)]
    for after in (*points, RUN_SECONDS):
        killed(command(model), environment, after, folder)
        for version in Registry(s3.environment).versions(model):  # if a kill came too late
            read_artifact(folder / version.version)
    uri = to_its_end(command(model), environment)
    (version,) = Registry(s3.environment).versions(model)

    assert uri == version.uri
    assert version.version == read_artifact(tmp_path / "whole").version
    assert read_artifact(folder / version.version).model == model
    keys = Registry(s3.environment).keys(f"{model}/")
    assert [key for key in keys if not key.startswith(f"{model}/{version.version}/")] == []
