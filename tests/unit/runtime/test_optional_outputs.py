"""Inputs and outputs that a model gained since a version was published."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictors.runtime import ArtifactError, TensorSpec, V2Model, build_manifest
from predictors.runtime.artifact.artifact import Manifest
from predictors.runtime.artifact.golden import golden_sample
from predictors.runtime.v2.body.decode import decode
from predictors.runtime.v2.body.encode import encode

OLD_INPUTS, OLD_OUTPUTS = (TensorSpec("x", "FP32", (-1,)),), (TensorSpec("y", "FP32", (-1,)),)
DETAILS = TensorSpec("why", "BYTES", (-1,), only_with="details")


class Grown(V2Model):
    """It can say why, to those who ask."""

    inputs = (*OLD_INPUTS, TensorSpec("details", "BOOL", (-1,), optional=True))
    outputs = (*OLD_OUTPUTS, DETAILS)

    def infer(self, arrays: dict[str, Any]) -> dict[str, Any]:
        why = np.array([b"because"] * len(arrays["x"]), object)
        return {"y": arrays["x"], "why": why}


def model(folder: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Grown:
    """It, with a version that was published with other tensors."""
    one = np.ones(1, np.float32)
    (folder / "model.bin").write_bytes(b"weights")
    document = json.loads(
        build_manifest(
            folder,
            model="grown",
            engine="python",
            inputs=inputs,
            outputs=outputs,
            metrics={},
            data={},
            code={},
            golden_sample=golden_sample(inputs, outputs, {"x": one}, {"y": one}),
        )
    )
    return Grown("grown", folder, Manifest("1", "grown", "python", document))


def test_a_version_from_before_optional_tensors_is_served(tmp_path: Path) -> None:
    """Its clients find all that was published."""
    assert model(tmp_path, OLD_INPUTS, OLD_OUTPUTS).load()
    assert model(tmp_path, Grown.inputs, Grown.outputs).load()


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ((*OLD_INPUTS, TensorSpec("z", "FP32", (-1,), optional=True)), OLD_OUTPUTS),
        (OLD_INPUTS, (*OLD_OUTPUTS, TensorSpec("score", "FP32", (-1,), only_with="z"))),
        ((TensorSpec("x", "FP32", (-1, 4)),), OLD_OUTPUTS),
        ((), OLD_OUTPUTS),
        (OLD_INPUTS, ()),
    ],
)
def test_a_version_with_other_tensors_is_refused(
    tmp_path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> None:
    """More than the predictor has, others, or fewer where they are no option."""
    with pytest.raises(ArtifactError, match="was published with the signature"):
        model(tmp_path, inputs, outputs).load()


@pytest.mark.parametrize(
    ("more", "outputs", "expected"),
    [
        ([], {}, ["y"]),
        ([{"name": "details", "datatype": "BOOL", "shape": [1], "data": [True]}], {}, ["y", "why"]),
        ([], {"outputs": [{"name": "why"}]}, ["why"]),
        ([], {"parameters": {"binary_data_output": True}}, ["y"]),
        ([], {"parameters": {"details": True}}, ["y", "why"]),
    ],
)
def test_an_output_comes_with_the_input_that_asks_for_it(
    tmp_path: Path, more: list[Any], outputs: dict[str, Any], expected: list[str]
) -> None:
    """As an input or a parameter, or where it is named."""
    served = model(tmp_path, Grown.inputs, Grown.outputs)
    tensors = [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}, *more]
    body = json.dumps({"inputs": tensors} | outputs).encode()
    request = decode(body, None, served.signature)
    answer, length = encode(request, served.infer(request.arrays), "grown", "1")

    told = json.loads(answer[:length])["outputs"]
    assert [tensor["name"] for tensor in told] == expected
