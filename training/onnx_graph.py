"""An ONNX graph of a decoder, written node by node."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

CONTEXT = 256  # tokens that the cache of a row holds: the predictor's whole budget
ALIGNED = 16  # head sizes that GroupQueryAttention takes are multiples of it
_OPSETS = (("", 23), ("com.microsoft", 1))

Array = npt.NDArray[Any]


class DecoderGraph:
    """Nodes, constants and the cache of a decoder; names are edges of the graph."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._inputs = [
            _tensor("input_ids", TensorProto.INT64, ["rows", "tokens"]),
            _tensor("positions", TensorProto.INT64, ["rows", "tokens"]),
            _tensor("last", TensorProto.INT32, ["rows"]),
            _tensor("length", TensorProto.INT32, []),
        ]
        self._outputs: list[onnx.ValueInfoProto] = []

    def constant(self, name: str, array: Array) -> str:
        """A weight as float32, or integers as int64."""
        kind = np.int64 if array.dtype.kind == "i" else np.float32
        stored = np.asarray(array, kind, order="C")
        self._constants[name] = numpy_helper.from_array(stored, name)
        return name

    def node(self, operator: str, inputs: list[str], domain: str = "", **attributes: Any) -> str:
        """A node of one output; returns that."""
        (output,) = self._add(operator, inputs, 1, domain, attributes)
        return output

    def linear(self, name: str, x: str, matrix: Array, bias: Array | None) -> str:
        """Multiply (tokens, in) by a matrix of (in, out), and add a bias of (out,)."""
        inputs = [x, self.constant(f"{name}.matrix", matrix)]
        if bias is not None:
            inputs.append(self.constant(f"{name}.bias", bias))
        return self.node("Gemm", inputs)

    def attention(
        self,
        layer: int,
        packed: str,
        heads: int,
        kv_heads: int,
        size: int,
        rotary: tuple[str, str] | None = None,
    ) -> str:
        """Attend to everything before, through the cache.

        Args:
            layer: of the cache.
            packed: (tokens, (heads + 2 × kv_heads) × size, aligned): queries, keys, values.
            heads: of queries.
            kv_heads: of keys and values; each is shared by heads / kv_heads queries.
            size: of a head, before it was aligned.
            rotary: cosines and sines where positions are rotations, (CONTEXT, aligned size / 2).

        Returns:
            (tokens, heads × aligned size).
        """
        wide_size = size + -size % ALIGNED
        width = (heads + 2 * kv_heads) * wide_size
        shape = self.node("Shape", ["input_ids"])
        wide = self.node(
            "Concat", [shape, self.constant(f"width.{width}", np.array([width]))], axis=0
        )
        query = self.node("Reshape", [packed, wide])
        cache = [kv_heads, CONTEXT, wide_size]
        names = []
        for half in ("key", "value"):
            names.append(f"{half}.{layer}")
            before = _tensor(names[-1], TensorProto.FLOAT, ["rows", *cache])
            after = _tensor(f"new_{names[-1]}", TensorProto.FLOAT, ["rows", *cache])
            self._inputs.append(before)
            self._outputs.append(after)
        cos, sin = rotary or ("", "")
        output = f"attended.{layer}"
        self._nodes.append(
            helper.make_node(
                "GroupQueryAttention",
                [query, "", "", *names, "last", "length", cos, sin],
                [output, *(f"new_{name}" for name in names)],
                domain="com.microsoft",
                num_heads=heads,
                kv_num_heads=kv_heads,
                scale=size**-0.5,
                do_rotary=int(rotary is not None),
            )
        )
        flat = self.constant(f"flat.{layer}", np.array([-1, heads * wide_size]))
        return self.node("Reshape", [output, flat])

    def last_tokens(self, x: str, hidden: int) -> str:
        """Of (rows × tokens, hidden) each row's last token: (rows, hidden)."""
        shape = self.node("Shape", ["input_ids"])
        wide = self.node("Concat", [shape, self.constant("hidden", np.array([hidden]))], axis=0)
        rows = self.node("Reshape", [x, wide])
        return self.node("Gather", [rows, self.constant("end", np.array(-1))], axis=1)

    def model(self, name: str, logits: str, vocabulary: int) -> onnx.ModelProto:
        """The finished model."""
        self._nodes.append(helper.make_node("Identity", [logits], ["logits"]))
        outputs = [_tensor("logits", TensorProto.FLOAT, ["rows", vocabulary]), *self._outputs]
        graph = helper.make_graph(
            self._nodes, name, self._inputs, outputs, list(self._constants.values())
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="serin")

    def _add(
        self, operator: str, inputs: list[str], count: int, domain: str, attributes: dict[str, Any]
    ) -> list[str]:
        number = len(self._nodes)
        outputs = [f"{operator}.{number}.{index}" for index in range(count)]
        self._nodes.append(helper.make_node(operator, inputs, outputs, domain=domain, **attributes))
        return outputs


def _tensor(name: str, kind: int, shape: list[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def aligned(array: Array, size: int, axis: int) -> Array:
    """Widen heads to a multiple of ALIGNED, with zeros, which change no score and no sum.

    Args:
        array: heads × size along `axis`.
        axis: of the heads.
        size: of a head. Rotations pair its first half with its second, so each is widened.
    """
    wide = -size % ALIGNED
    if not wide:
        return array
    moved = np.moveaxis(array, axis, -1)
    halves = moved.reshape(*moved.shape[:-1], -1, 2, size // 2)
    padding = [(0, 0)] * (halves.ndim - 1) + [(0, wide // 2)]
    widened = np.pad(halves, padding).reshape(*moved.shape[:-1], -1)
    return np.moveaxis(widened, -1, axis)
