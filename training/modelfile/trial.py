"""What a graph declares, and whether its answers hold: alone, together, and a second time."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from predictors.onnx import MODEL, OnnxModel, graph
from predictors.runtime import InvalidRequest, Manifest, TensorSpec, V2Model
from predictors.runtime.v2.errors import V2Error
from training.modelfile.errors import PublishError

if TYPE_CHECKING:
    import onnxruntime

Arrays = dict[str, npt.NDArray[Any]]

_RELATIVE, _ABSOLUTE = 1e-3, 1e-5  # as the golden sample's: engines round by the size of a batch
_LARGEST_BATCH = 8


def session_of(folder: Path) -> "onnxruntime.InferenceSession":
    """The graph of an artifact's folder, in the engine that will serve it.

    Raises:
        PublishError: the engine refuses it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            folder / MODEL, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime has no common base class
        raise PublishError(f"ONNX Runtime does not load it: {graph.reason(error)}") from error


def inputs_of(session: "onnxruntime.InferenceSession") -> tuple[TensorSpec, ...]:
    """The graph's inputs as V2 tensors.

    Raises:
        PublishError: one is no tensor that V2 has.
    """
    nodes = session.get_inputs()
    if not nodes:
        raise PublishError("its graph takes no input, so there is nothing to ask")
    return tuple(
        TensorSpec(node.name, _datatype(node, "input"), graph.shape_of(node.shape))
        for node in nodes
    )


def outputs_of(
    session: "onnxruntime.InferenceSession", inputs: tuple[TensorSpec, ...], sample: Arrays
) -> tuple[TensorSpec, ...]:
    """The graph's outputs, each in the shape that it declares and, where it declares none, answers.

    Raises:
        PublishError: one is no tensor that V2 has, or the graph cannot compute the sample.
    """
    nodes = session.get_outputs()
    datatypes = [_datatype(node, "output") for node in nodes]
    kinds = {node.name: node.type for node in session.get_inputs()}
    feed = {name: graph.given(kinds[name], name, array) for name, array in sample.items()}
    try:
        answered = graph.run(session, [node.name for node in nodes], feed)
    except InvalidRequest as error:
        raise PublishError(
            f"{error}, for the sample that was made: give one that it can, with --sample FILE"
        ) from error
    batched = all(spec.batched for spec in inputs)
    specs = []
    for node, datatype, array in zip(nodes, datatypes, answered, strict=True):
        shape = graph.shape_of(node.shape)
        if len(shape) != array.ndim:
            shape = array.shape
        if batched and shape and array.shape[0] == _rows(inputs, sample):
            shape = (-1, *shape[1:])
        specs.append(TensorSpec(node.name, datatype, shape))
    return tuple(specs)


def _rows(inputs: tuple[TensorSpec, ...], sample: Arrays) -> int:
    return int(sample[inputs[0].name].shape[0])


def _datatype(node: "onnxruntime.NodeArg", side: str) -> str:
    if not node.name.isprintable():  # it would be written to terminals and into requests
        raise PublishError(
            f"its {side} {node.name[:80]!r} has characters in its name that cannot be shown: "
            "rename it"
        )
    datatype = graph.DATATYPES.get(node.type)
    if datatype is None:
        raise PublishError(
            f"its {side} '{node.name}' is a {node.type}, which V2 has no tensor for: export it "
            "as a plain tensor"
        )
    return datatype


def answers(
    folder: Path,
    name: str,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    sample: Arrays,
) -> Arrays:
    """What the folder answers to the sample, as it will be served.

    Raises:
        PublishError: the answer is not finite, differs when asked twice, or differs for a row by
            the rows beside it.
    """
    sides = {"inputs": inputs, "outputs": outputs}
    signature = {side: [spec.signature() for spec in specs] for side, specs in sides.items()}
    untried = Manifest("untried", name, "onnxruntime", {"signature": signature})
    model = OnnxModel.of_version(folder, untried)(name, folder, untried)
    model.open()
    try:
        return _steady(model, sample)
    except V2Error as error:
        raise PublishError(f"{error} (asked with the sample)") from error


def _steady(model: OnnxModel, sample: Arrays) -> Arrays:
    rows = model.signature.rows_of(dict(sample))
    first = model.check_outputs(model.infer(sample), rows)
    for spec in model.outputs:
        if spec.dtype.kind == "f" and not np.isfinite(first[spec.name]).all():
            raise PublishError(
                f"its output '{spec.name}' is NaN or infinite for the sample: give another one "
                "with --sample FILE"
            )
    for name in _differing(model, first, model.infer(sample)):
        raise PublishError(
            f"its output '{name}' differs when the same is asked twice: it draws random numbers, "
            "or was exported in training mode"
        )
    if not model.signature.batched:
        return first
    alone = [model.infer(_rows_of(sample, [row])) for row in range(rows)]
    order = [place % rows for place in range(_LARGEST_BATCH)]
    together = model.check_outputs(model.infer(_rows_of(sample, order)), len(order))
    for place, row in enumerate(order):
        for name in _differing(model, alone[row], _rows_of(together, [place])):
            raise PublishError(
                f"its output '{name}' differs for a row by the rows beside it, and requests that "
                "come together share a call: export it with a fixed first axis"
            )
    return first


def _rows_of(arrays: Arrays, rows: list[int]) -> Arrays:
    return {name: array[rows] for name, array in arrays.items()}


def _differing(model: V2Model, wanted: Arrays, got: Arrays) -> list[str]:
    names = []
    for spec in model.outputs:
        one, other = wanted[spec.name], got[spec.name]
        if one.shape != other.shape:
            names.append(spec.name)
        elif spec.dtype.kind == "f":
            same = np.allclose(one, other, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True)
            names += [] if same else [spec.name]
        elif not (one == other).all():
            names.append(spec.name)
    return names
