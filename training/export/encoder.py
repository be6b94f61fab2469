"""A BERT that judges pairs to ONNX, written node by node: the same weights give the same bytes.

    input_ids       (pairs, tokens) int64    padded with `pad`
    token_type_ids  (pairs, tokens) int64    0 for the premise, 1 for the hypothesis
    probabilities   (pairs, labels) float32

The score of a label is linear in the mean of the tokens' last states. Constants have the names of
transformers' BertModel.

The layers' matrices have 8 bits, with a scale for each output, and a token's values are rounded to
8 bits by its own largest one (Dettmers et al. 2022, arXiv:2208.07339). Sums of integers are exact,
so a pair's answer depends neither on the pairs beside it nor on the order of adding up.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from training.export.graph import Graph, tensor

Weights = Mapping[str, npt.NDArray[np.float32]]
LEVELS = 90
"""Of a code, each side of zero. Two products of a token's code, of at most 181, and a weight's fit
16 bits: processors without VNNI add them up in those, and cut off what does not fit.
"""
_CENTRE = LEVELS + 1  # a token's codes have no sign
_SMALLEST = 1e-9  # of a token's or an output's largest value: nothing is divided by zero


def to_onnx(config: Mapping[str, Any], weights: Weights, temperature: float) -> onnx.ModelProto:
    """Write the graph.

    Args:
        config: config.json of the encoder.
        weights: of a BertModel, and head.weight and head.bias.
        temperature: that scores are divided by.
    """
    heads, epsilon, pad = (
        int(config["num_attention_heads"]),
        float(config["layer_norm_eps"]),
        int(config.get("pad_token_id", 0)),
    )
    given = ("input_ids", "token_type_ids")
    graph = Graph([tensor(name, TensorProto.INT64, ["pairs", "tokens"]) for name in given])

    def linear(name: str, x: str) -> str:
        matrix, bias = f"{name}.weight", f"{name}.bias"
        turned = graph.node("Transpose", [graph.constant(matrix, weights[matrix])], perm=[1, 0])
        product = graph.node("MatMul", [x, turned])
        return graph.node("Add", [product, graph.constant(bias, weights[bias])])

    def scalar(name: str, value: float) -> str:
        return graph.constant(name, np.array(value, np.float32))

    def rounded(names: Sequence[str], x: str) -> list[str]:
        """What layers of 8 bits make of the same values."""
        axis = graph.constant("features", np.array([-1]))
        largest = graph.node("ReduceMax", [graph.node("Abs", [x]), axis], keepdims=1)
        largest = graph.node("Max", [largest, scalar("smallest", _SMALLEST)])
        levels = graph.node("Div", [scalar("levels", LEVELS), largest])
        # A cast cuts off what is behind the point, so half a level more rounds.
        raised = graph.node("Add", [graph.node("Mul", [x, levels]), scalar("raise", _CENTRE + 0.5)])
        codes = graph.node("Cast", [raised], to=TensorProto.UINT8)
        level = graph.node("Mul", [largest, scalar("level", 1 / LEVELS)])
        centre = graph.constant("centre", np.array(_CENTRE, np.uint8))
        made = []
        for name in names:
            matrix = weights[f"{name}.weight"].T
            scales = np.abs(matrix).max(0).clip(_SMALLEST) / LEVELS
            given = [
                codes,
                graph.constant(f"{name}.weight", np.rint(matrix / scales).astype(np.int8)),
                scalar("unit", 1),
                graph.constant(f"{name}.scales", scales),
                centre,
            ]
            product = graph.node("MatMulIntegerToFloat", given, domain="com.microsoft")
            bias = graph.constant(f"{name}.bias", weights[f"{name}.bias"])
            made.append(graph.node("Add", [graph.node("Mul", [product, level]), bias]))
        return made

    def normalised(name: str, x: str) -> str:
        parts = [graph.constant(f"{name}.{part}", weights[f"{name}.{part}"]) for part in _SCALE]
        return graph.node("LayerNormalization", [x, *parts], axis=-1, epsilon=epsilon)

    def embedded(name: str, rows: str) -> str:
        table = f"embeddings.{name}_embeddings.weight"
        return graph.node("Gather", [graph.constant(table, weights[table]), rows])

    real = graph.node(
        "Not", [graph.node("Equal", ["input_ids", graph.constant("pad", np.array(pad))])]
    )
    mask = graph.node("Cast", [real], to=TensorProto.INT32)
    length = graph.node(
        "Gather", [graph.node("Shape", ["input_ids"]), graph.constant("one", np.array(1))]
    )
    ends = [graph.constant("zero", np.array(0)), length, "one"]
    positions = embedded("position", graph.node("Range", ends))
    words = graph.node("Add", [embedded("word", "input_ids"), positions])
    x = graph.node("Add", [words, embedded("token_type", "token_type_ids")])
    x = normalised("embeddings.LayerNorm", x)
    for number in range(int(config["num_hidden_layers"])):
        layer = f"encoder.layer.{number}"
        parts = rounded([f"{layer}.attention.self.{name}" for name in _QKV], x)
        attended = graph.node(
            "MultiHeadAttention", [*parts, "", mask], domain="com.microsoft", num_heads=heads
        )
        (seen,) = rounded([f"{layer}.attention.output.dense"], attended)
        x = graph.node("Add", [x, seen])
        x = normalised(f"{layer}.attention.output.LayerNorm", x)
        (inner,) = rounded([f"{layer}.intermediate.dense"], x)
        (outer,) = rounded([f"{layer}.output.dense"], graph.node("Gelu", [inner]))
        x = graph.node("Add", [x, outer])
        x = normalised(f"{layer}.output.LayerNorm", x)
    tokens = graph.node("Cast", [real], to=TensorProto.FLOAT)
    tokens = graph.node("Unsqueeze", [tokens, graph.constant("last", np.array([-1]))])
    axis = graph.constant("tokens", np.array([1]))
    total = graph.node("ReduceSum", [graph.node("Mul", [x, tokens]), axis], keepdims=0)
    mean = graph.node("Div", [total, graph.node("ReduceSum", [tokens, axis], keepdims=0)])
    divided = {"temperature": graph.constant("temperature", np.array(temperature, np.float32))}
    scores = graph.node("Div", [linear("head", mean), divided["temperature"]])
    graph.name("probabilities", graph.node("Softmax", [scores], axis=-1))
    labels = len(weights["head.bias"])
    return graph.finished("nli", [tensor("probabilities", TensorProto.FLOAT, ["pairs", labels])])


_SCALE, _QKV = ("weight", "bias"), ("query", "key", "value")
