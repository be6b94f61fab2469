"""The training scripts as people, the platform and Jobs start them: python -m training.<model>."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from predictors.mnist_forest import MnistForestModel
from predictors.runtime import MANIFEST, read_artifact
from tests.support.required import ROOT, shared_data
from tests.support.s3 import S3Server
from training.publish.registry import Registry

# Small enough for a test, and the same code paths.
QUICK = {
    "iris": [],
    "mnist_forest": ["--trees=5", "--shifts=0", "--min-accuracy=0.5"],
    "mnist_cnn": ["--smoke"],
}
BOTH = pytest.mark.parametrize("model", ["iris", "mnist_forest"])  # one way through all scripts


def _train(
    model: str, *flags: str | Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"training.{model}", *map(str, flags)],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.mark.parametrize("model", QUICK)
def test_training_twice_gives_one_version(model: str, tmp_path: Path) -> None:
    """Whatever the order of sets, the number of threads and the folder; another seed differs."""
    made = []
    for name, hash_seed, threads, seed in (
        ("a", "1", "1", 0),
        ("b", "2", "2", 0),
        ("c", "1", "1", 1),
    ):
        settings = {"PYTHONHASHSEED": hash_seed, "LOKY_MAX_CPU_COUNT": threads}
        output = tmp_path / name
        run = _train(
            model, *QUICK[model], "--output", output, "--seed", str(seed), environment=settings
        )
        assert run.returncode == 0, run.stderr
        made.append(read_artifact(output))

    assert made[0].document == made[1].document
    assert made[0].version == made[1].version
    assert made[0].version != made[2].version


@BOTH
def test_the_last_line_of_stdout_is_what_was_published(model: str, s3: S3Server) -> None:
    """Only the URI goes to stdout, and it is in the store; a second run publishes nothing new."""
    runs = [_train(model, *QUICK[model], environment=s3.environment) for _ in range(2)]
    name = model.replace("_", "-")
    (version,) = Registry(s3.environment).versions(name)

    assert [f"{version.uri}\n"] * 2 == [run.stdout for run in runs], runs[0].stderr
    assert read_artifact(s3.folder / "models" / name / version.version).model == name


@BOTH
def test_a_closed_gate_publishes_nothing(model: str, s3: S3Server) -> None:
    """Exit 1, one sentence, no traceback, an empty store."""
    weak = {"iris": "--seed=3", "mnist_forest": "--trees=1"}
    run = _train(model, weak[model], "--min-accuracy=1", environment=s3.environment)

    assert run.returncode == 1
    assert run.stdout == ""
    assert "below --min-accuracy 1.0000: not published" in run.stderr.splitlines()[-1]
    assert "Traceback" not in run.stderr
    assert list((s3.folder / "models").iterdir()) == []


@BOTH
def test_a_smoke_run_passes_without_accuracy_and_says_what_it_is(
    model: str, tmp_path: Path
) -> None:
    """All gates but one; whoever reads the version's metrics sees that it is no real model."""
    output = tmp_path / "smoke"
    run = _train(model, "--smoke", "--min-accuracy=1", "--seed=3", "--output", output)

    assert run.returncode == 0, run.stderr
    assert "parity: " in run.stderr
    assert read_artifact(output).document["metrics"]["smoke"] is True


@BOTH
def test_a_dead_store_is_said_before_the_work_starts(model: str, tmp_path: Path) -> None:
    """Exit 1 and the address; nothing was trained."""
    run = _train(model, environment=S3Server(tmp_path, port=1).environment)

    assert run.returncode == 1
    assert run.stderr.startswith("error: cannot list the versions of")
    assert "http://127.0.0.1:1: nothing answers there" in run.stderr
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "flag",
    ["--min-accuracy=97", "--trees=0", "--epochs=3", "--output="],
)
def test_misuse_is_exit_2(flag: str, tmp_path: Path) -> None:
    """Flags that make no sense, and an output that is somebody's folder."""
    run = _train("mnist_forest", "--output", tmp_path / "out", flag)

    assert run.returncode == 2
    assert "error: " in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("model", ["iris", "mnist_forest", "mnist_cnn", "nli", "causal_lm"])
def test_help_says_what_flags_mean(model: str) -> None:
    """What a flag is by default is in the text; no sentinel is, nor kserve's own flags."""
    run = _train(model, "--help")
    shown = " ".join(run.stdout.split())

    assert run.returncode == 0
    assert shown.startswith(f"usage: serin train {model.replace('_', '-')} ")
    assert ("--min-accuracy" in shown) == ("0 … 1 (default: 0." in shown)
    assert not re.search(r"(?<!\w)-1\b", shown)
    assert "None" not in shown
    assert "--http_port" not in shown


def test_a_folder_without_mnist_is_named(tmp_path: Path) -> None:
    """Exit 1 and the file that was looked for."""
    run = _train("mnist_forest", "--data", tmp_path, "--output", tmp_path / "out")

    assert run.returncode == 1
    assert f"no train-images-idx3-ubyte, gzipped or not, in {tmp_path}" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_leaves_no_temporary_folder(
    stop: signal.Signals, tmp_path: Path
) -> None:
    """Ctrl-C, and a platform that goes down, in the middle of the export."""
    output = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "training.mnist_forest", "--shifts=0", f"--output={output}"],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".serin-*")) and process.poll() is None:
        assert time.monotonic() < deadline, "no temporary folder was made"
        time.sleep(0.005)
    process.send_signal(stop)

    assert process.wait(timeout=30) == 128 + stop
    assert list(tmp_path.iterdir()) == []


def test_real_mnist_is_learnt_and_real_drawings_are_read(tmp_path: Path) -> None:
    """A fifth of the forest, at 96 % of t10k, reads 45 of 50 images nobody prepared for it."""
    data, images = shared_data("mnist"), shared_data("digits_png")
    output = tmp_path / "forest"
    flags = ("--trees=20", "--min-accuracy=0.95", "--data", data, "--output", output)
    run = _train("mnist_forest", *flags)
    assert run.returncode == 0, run.stderr

    manifest = read_artifact(output)
    model = MnistForestModel("mnist-forest", output, manifest)
    model.load()
    listed = json.loads((images / "labels.json").read_text())
    files = [(images / one["file"]).read_bytes() for one in listed]
    read = model.infer({"image": np.array(files, object)})["digit"]

    assert manifest.document["data"]["train_rows"] == 60_000
    assert manifest.document["metrics"]["accuracy"] >= 0.95
    assert (read == [one["label"] for one in listed]).sum() >= 45
    assert (output / MANIFEST).is_file()
