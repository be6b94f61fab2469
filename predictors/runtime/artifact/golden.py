"""The golden sample: a few inputs and the outputs that they gave when the version was published.

It travels in the manifest as V2 tensors, and a predictor is ready only once it has answered it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from predictors.runtime.artifact.artifact import ArtifactError
from predictors.runtime.v2.body.decode import decode
from predictors.runtime.v2.body.encode import encode
from predictors.runtime.v2.datatypes import Array
from predictors.runtime.v2.errors import V2Error
from predictors.runtime.v2.signature import Request, Signature
from predictors.runtime.v2.spec import TensorSpec

# Engines round differently from processor to processor; a wrong model differs by far more.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-5


def golden_sample(
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    given: dict[str, Array],
    answered: dict[str, Array],
) -> dict[str, Any]:
    """Write a golden sample as V2 tensors, for `build_manifest`.

    Args:
        inputs: as the predictor declares them.
        outputs: likewise.
        given: what goes in; optional inputs may be left out.
        answered: what came out; outputs that need an input that is not given may be missing.
    """
    came = tuple(spec for spec in inputs if spec.name in given or not spec.optional)
    told = tuple(spec for spec in outputs if spec.name in answered or spec.only_with is None)
    return {
        "inputs": _tensors(Signature.of((), came), given),
        "outputs": _tensors(Signature.of((), told), answered),
    }


def read_inputs(sample: dict[str, Any], signature: Signature) -> Request:
    """The sample's inputs, decoded as a client's request would be.

    Raises:
        ArtifactError: they do not fit the signature.
    """
    try:
        return decode(orjson.dumps({"inputs": sample["inputs"]}), None, signature)
    except V2Error as error:
        raise ArtifactError(f"the golden sample does not fit this predictor: {error}") from error


def replay(
    sample: dict[str, Any],
    signature: Signature,
    infer: Callable[[dict[str, Array]], dict[str, Array]],
) -> None:
    """Answer the golden sample and compare.

    Raises:
        ArtifactError: an output differs, naming it and by how much.
    """
    answered = infer(read_inputs(sample, signature).arrays)
    for expected in sample["outputs"]:
        name = expected["name"]
        spec = signature.outputs.get(name)
        if spec is None or name not in answered:
            raise ArtifactError(f"golden sample: this predictor has no output '{name}'")
        _compare(spec, np.array(expected["data"]).reshape(expected["shape"]), answered[name])


def _compare(spec: TensorSpec, want: Array, got: Array) -> None:
    if want.shape != got.shape:
        raise ArtifactError(
            f"golden sample: output '{spec.name}' expected shape {list(want.shape)}, "
            f"got {list(got.shape)}"
        )
    if spec.datatype == "BYTES":
        texts = [one.decode() if isinstance(one, bytes) else one for one in got.ravel().tolist()]
        equal = texts == want.ravel().tolist()
    elif spec.dtype.kind == "f":
        equal = np.allclose(got, want, rtol=_RELATIVE, atol=_ABSOLUTE)
    else:
        equal = bool((got == want).all())
    if not equal:
        raise ArtifactError(
            f"golden sample: output '{spec.name}' expected {want.ravel()[:4].tolist()}…, got "
            f"{got.ravel()[:4].tolist()}…: the model file and its manifest do not belong together"
        )


def _tensors(signature: Signature, arrays: dict[str, Array]) -> list[dict[str, Any]]:
    request = Request(id="golden", arrays={}, rows=0, wanted=signature.as_json)
    body, _ = encode(request, arrays, "golden", "0")
    tensors: list[dict[str, Any]] = orjson.loads(body)["outputs"]
    return tensors
