"""A BERT that judges pairs to ONNX, written node by node: the same weights give the same bytes.

    input_ids       (pairs, tokens) int64    padded with `pad`
    token_type_ids  (pairs, tokens) int64    0 for the premise, 1 for the hypothesis
    probabilities   (pairs, labels) float32

The score of a label is linear in the mean of the tokens' last states. Constants have the names and
shapes of transformers' BertModel.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from training.export.graph import Graph, tensor

Weights = Mapping[str, npt.NDArray[np.float32]]


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
        parts = [linear(f"{layer}.attention.self.{name}", x) for name in ("query", "key", "value")]
        attended = graph.node(
            "MultiHeadAttention", [*parts, "", mask], domain="com.microsoft", num_heads=heads
        )
        x = graph.node("Add", [x, linear(f"{layer}.attention.output.dense", attended)])
        x = normalised(f"{layer}.attention.output.LayerNorm", x)
        inner = graph.node("Gelu", [linear(f"{layer}.intermediate.dense", x)])
        x = graph.node("Add", [x, linear(f"{layer}.output.dense", inner)])
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


_SCALE = ("weight", "bias")
