"""Versions of iris that pass every gate and are worse all the same, each in its way."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from predictors.iris import SPECIES, IrisModel
from predictors.runtime import build_manifest, golden_sample
from tests.drills.canary import FLOWER
from training.publish.artifact import write_manifest

UNUSUAL = [60.0, 3.5, 1.4, 0.2]  # cm; any version of iris answers it, but the erring one
OTHERS = ([6.0, 2.7, 4.2, 1.3], [6.5, 3.0, 5.5, 2.0])  # cm: a versicolor, a virginica
INPUTS = [
    *[FLOWER] * 4,
    *({**FLOWER, "data": data} for data in OTHERS for _ in range(3)),
    {**FLOWER, "data": UNUSUAL},
]
"""Tensors of a load that shows each of these faults: an eleventh of it is unusual."""


def erring(graph: onnx.GraphProto) -> None:
    """Fail where the first number is above 50: an index that is out of bounds."""
    _add(graph, "first", np.array([0], np.int64))
    _add(graph, "limit", np.array([50], np.float32))
    _add(graph, "only", np.array([0], np.float32))
    _add(graph, "far", np.array([7], np.int64))
    graph.node.extend(
        [
            helper.make_node("Gather", ["measurements", "first"], ["lengths"], axis=1),
            helper.make_node("Greater", ["lengths", "limit"], ["unusual"]),
            helper.make_node("Cast", ["unusual"], ["one"], to=TensorProto.INT64),
            helper.make_node("Mul", ["one", "far"], ["index"]),
            helper.make_node("Gather", ["only", "index"], ["nothing"], axis=0),
            helper.make_node("Add", ["sound", "nothing"], ["probabilities"]),
        ]
    )


def slow(graph: onnx.GraphProto, side: int = 1200) -> None:
    """Multiply two large matrices, and add nothing of it: some ten milliseconds a call."""
    _add(graph, "square", np.array([side, side], np.int64))
    _add(graph, "zero", np.array([0], np.float32))
    graph.node.extend(
        [
            helper.make_node("ReduceSum", ["measurements"], ["total"], keepdims=0),
            helper.make_node("Expand", ["total", "square"], ["large"]),
            helper.make_node("MatMul", ["large", "large"], ["larger"]),
            helper.make_node("ReduceMean", ["larger"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "zero"], ["none"]),
            helper.make_node("Add", ["sound", "none"], ["probabilities"]),
        ]
    )


def drifting(graph: onnx.GraphProto) -> None:
    """Take every versicolor for a setosa."""
    _add(graph, "moves", np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1]], np.float32))
    graph.node.append(helper.make_node("MatMul", ["sound", "moves"], ["probabilities"]))


def swapping(graph: onnx.GraphProto) -> None:
    """Take versicolor and virginica for each other: every class keeps its share."""
    _add(graph, "moves", np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]], np.float32))
    graph.node.append(helper.make_node("MatMul", ["sound", "moves"], ["probabilities"]))


WAYS = {"erring": erring, "slow": slow, "drifting": drifting, "swapping": swapping}


def make(sound: Path, way: str, folder: Path) -> Path:
    """Write an artifact that is worse than a sound one in one way.

    Args:
        sound: What `serin train iris --output` wrote.
        way: One of WAYS.
        folder: Where to write; returned.
    """
    folder.mkdir()
    model = onnx.load(sound / "model.onnx")
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == "probabilities":
                node.output[index] = "sound"
    WAYS[way](model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")
    manifest = json.loads((sound / "MANIFEST.json").read_bytes())
    tensor = manifest["golden_sample"]["inputs"][0]
    given = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (scores,) = session.run(["probabilities"], {"measurements": given})
    chosen = scores.argmax(axis=1)
    names = np.array([SPECIES[index].encode() for index in chosen], dtype=object)
    answered = {"class_index": chosen, "class_name": names, "probabilities": scores}
    write_manifest(
        folder,
        build_manifest(
            folder,
            model="iris",
            engine="onnxruntime",
            inputs=IrisModel.inputs,
            outputs=IrisModel.outputs,
            metrics={"way": way},
            data={},
            code={},
            golden_sample=golden_sample(
                IrisModel.inputs, IrisModel.outputs, {"input-0": given}, answered
            ),
        ),
    )
    return folder


def _add(graph: onnx.GraphProto, name: str, values: np.ndarray) -> None:
    graph.initializer.append(numpy_helper.from_array(values, name))
