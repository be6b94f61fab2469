"""`serin publish` as a process of its own, and the settings that it writes, read again."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from predictors.onnx.settings import Settings
from predictors.runtime import ArtifactError
from tests.support.model_files import FLOAT, value, write
from tests.support.required import ROOT
from training import script
from training.modelfile import onnxfile
from training.modelfile.errors import PublishError


def test_what_asks_for_all_memory_ends_alone(tmp_path: Path) -> None:
    """A graph of a few bytes that makes a tensor of 64 GiB is refused; the machine lives on."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    path = write(
        tmp_path / "model.onnx",
        nodes,
        [value("x", FLOAT, ["n", 4])],
        [value("y", FLOAT, ["n", 4])],
        {"shape": np.array([1 << 17, 1 << 17])},
    )
    command = [sys.executable, "-m", "training.modelfile", "mine", str(path), "--output"]
    done = subprocess.run(
        [*command, str(tmp_path / "artifact")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == script.FAILED, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr


def functions(path: Path, calls: list[list[str]]) -> Path:
    """A graph of one call of the last function; each calls those named in turn, or does nothing."""
    ops = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    made = []
    for number, names in enumerate(calls):
        steps = [f"t{step}" for step in range(len(names))]
        nodes = [
            helper.make_node(name, [source], [target], domain="own" if name != "Identity" else "")
            for name, source, target in zip(names, ["x", *steps], [*steps[:-1], "y"], strict=False)
        ]
        made.append(helper.make_function("own", f"f{number}", ["x"], ["y"], nodes, ops))
    graph = helper.make_graph(
        [helper.make_node(f"f{len(calls) - 1}", ["x"], ["y"], domain="own")],
        "graph",
        [value("x", FLOAT, ["n", 4])],
        [value("y", FLOAT, ["n", 4])],
    )
    model = helper.make_model(graph, functions=made, opset_imports=ops, ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def test_functions_that_grow_without_end_are_refused_unread(tmp_path: Path) -> None:
    """Forty functions, each of which calls the one before twice, and one that calls itself."""
    doubled = [["Identity"], *([f"f{number}"] * 2 for number in range(40))]
    for name, calls in (("doubled", doubled), ("circle", [["f0"]])):
        with pytest.raises(PublishError, match="functions call each other so often"):
            onnxfile.read(functions(tmp_path / name, calls))

    few = functions(tmp_path / "few", doubled[:10])
    assert len(onnxfile.read(few).functions) == 10


def test_settings_that_nobody_wrote_are_refused(tmp_path: Path) -> None:
    """serving.json is read as it is written, or not at all."""
    assert Settings.read(tmp_path) == Settings()
    for text in ("[]", "{}", '{"labels": 1, "text": null}', '{"labels": {}, "text": {"a": 1}}'):
        (tmp_path / "serving.json").write_text(text)
        with pytest.raises(ArtifactError, match=r"serving\.json is not what"):
            Settings.read(tmp_path)
