"""Model files as strangers bring them: small, and made anew each time, the same bytes each time."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
WORDS = ["[PAD]", "[UNK]", "good", "bad", "day", "night"]


def value(name: str, kind: int, shape: Sequence[Any] | None) -> onnx.ValueInfoProto:
    """A tensor of a graph; a text in the shape names an axis."""
    return helper.make_tensor_value_info(name, kind, shape)


def write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: dict[str, np.ndarray] | None = None,
) -> Path:
    """An ONNX file of some nodes."""
    stored = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, stored)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def classifier(path: Path, *, maps: bool = False) -> Path:
    """Four numbers to three classes, as skl2onnx writes it; `maps`: with a ZipMap, its default."""
    weights = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    nodes = [
        helper.make_node(
            "LinearClassifier",
            ["features"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            coefficients=weights.ravel().tolist(),
            intercepts=[0.1, 0.2, 0.3],
            classlabels_ints=[0, 1, 2],
            post_transform="SOFTMAX",
        )
    ]
    outputs = [value("label", INT64, ["n"])]
    if maps:
        zipped: dict[str, Any] = {"classlabels_strings": ["red", "green", "blue"]}
        nodes.append(
            helper.make_node("ZipMap", ["scores"], ["answer"], domain="ai.onnx.ml", **zipped)
        )
        kind = helper.make_map_type_proto(STRING, helper.make_tensor_type_proto(FLOAT, shape=None))
        outputs.append(helper.make_value_info("answer", helper.make_sequence_type_proto(kind)))
    else:
        outputs.append(value("scores", FLOAT, ["n", 3]))
    return write(path, nodes, [value("features", FLOAT, ["n", 4])], outputs)


def texts(folder: Path, **config: object) -> Path:
    """A Hugging Face folder of a text classifier: words are counted, and "good" is positive."""
    folder.mkdir(exist_ok=True)
    scores = np.zeros((len(WORDS), 2), np.float32)
    scores[WORDS.index("good"), 1] = scores[WORDS.index("bad"), 0] = 3
    write(
        folder / "model.onnx",
        [
            helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=FLOAT),
            helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
            helper.make_node("Mul", ["rows", "column"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "middle"], ["logits"], keepdims=0),
        ],
        [value(name, INT64, ["n", "tokens"]) for name in ("input_ids", "attention_mask")],
        [value("logits", FLOAT, ["n", 2])],
        {"table": scores, "last": np.array([2]), "middle": np.array([1])},
    )
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "architectures": ["BertForSequenceClassification"],
        "id2label": {"0": "negative", "1": "positive"},
        "max_position_embeddings": 8,
        "pad_token_id": 0,
        **config,
    }
    (folder / "config.json").write_text(json.dumps(settings), "utf-8")
    return folder


def of_operator(path: Path, operator: str, **attributes: Any) -> Path:
    """One operator from `x` to `y`."""
    nodes = [helper.make_node(operator, ["x"], ["y"], **attributes)]
    return write(path, nodes, [value("x", FLOAT, ["n", 4])], [value("y", FLOAT, ["n", 4])])
