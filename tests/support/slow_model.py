"""A real model whose every call takes as long as its rows ask for: what queues and batches see.

Run as a predictor: `python -m tests.support.slow_model`. A negative `seconds` fails, NaN is an
InvalidRequest of that row alone; HELD goes on until `let_go`. The optional `note` changes nothing,
but may not be empty.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from predictors.runtime import (
    MANIFEST,
    InvalidRequest,
    TensorSpec,
    V2Model,
    build_manifest,
    golden_sample,
    serve,
)

HELD = 2.0**30
_LET_GO = "let-go"


class SlowModel(V2Model):
    """Sleeps for the longest of its rows; tells how many rows shared the call."""

    inputs = (
        TensorSpec("seconds", "FP32", (-1,), allow_nan=True),
        TensorSpec("note", "BYTES", (-1,), optional=True),
    )
    outputs = (TensorSpec("seconds", "FP32", (-1,)), TensorSpec("shared", "INT64", (-1,)))

    def validate(self, arrays: dict[str, Any]) -> None:
        if "note" in arrays and not all(arrays["note"]):
            raise InvalidRequest("tensor 'note': expected text, got an empty element")

    def infer(self, arrays: dict[str, Any]) -> dict[str, Any]:
        seconds = arrays["seconds"]
        if np.isnan(seconds).any():
            raise InvalidRequest("tensor 'seconds': a row is NaN")
        if (seconds < 0).any():
            raise ValueError("negative time")
        if seconds.max() >= HELD:
            sign = self.model_dir / _LET_GO
            while not sign.exists():
                time.sleep(0.005)
            sign.unlink()
        else:
            time.sleep(float(seconds.max()))
        return {"seconds": seconds, "shared": np.full(len(seconds), len(seconds), np.int64)}


def write_artifact(folder: Path, golden_seconds: float = 0.005) -> Path:
    """An artifact of this model; with a slow golden sample the server queues."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "delay.txt").write_text("every row says for itself how long it takes\n")
    given = {"seconds": np.array([golden_seconds], np.float32)}
    answered = given | {"shared": np.array([1])}
    manifest = build_manifest(
        folder,
        model="slow",
        engine="sleep",
        inputs=SlowModel.inputs,
        outputs=SlowModel.outputs,
        metrics={},
        data={},
        code={},
        golden_sample=golden_sample(SlowModel.inputs, SlowModel.outputs, given, answered),
    )
    (folder / MANIFEST).write_bytes(manifest)
    return folder


def let_go(artifact: Path) -> None:
    """End the call that is held; a test that fails before it ends its predictor all the same."""
    (artifact / _LET_GO).touch()


if __name__ == "__main__":
    serve(SlowModel)
