"""ONNX graphs, written node by node."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.language.matrices import BLOCK, Blocks, Matrix, Rows

ALIGNED = 16  # head sizes that GroupQueryAttention takes are multiples of it
_OPSETS = (("", 23), ("com.microsoft", 1))
_LEVELS = 127  # of a token's code, each side of its centre
_INT8 = 4  # accuracy_level: activations are rounded too, each row and block by itself

_END, _TOKENS = np.array([np.iinfo(np.int64).max]), np.array([1])

Array = npt.NDArray[Any]


class Graph:
    """Nodes and constants; names are edges of the graph."""

    def __init__(self, inputs: list[onnx.ValueInfoProto]) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._inputs = inputs

    def constant(self, name: str, array: Array) -> str:
        """A weight as float32, integers as int64, codes of 8 bits as they are."""
        kind = {"i": np.int64, "u": np.uint8}.get(array.dtype.kind, np.float32)
        kind = np.int8 if array.dtype == np.int8 else kind
        stored = np.asarray(array, kind, order="C")
        self._constants[name] = numpy_helper.from_array(stored, name)
        return name

    def node(self, operator: str, inputs: list[str], domain: str = "", **attributes: Any) -> str:
        """A node of one output; returns that."""
        output = f"{operator}.{len(self._nodes)}.0"
        self._nodes.append(
            helper.make_node(operator, inputs, [output], domain=domain, **attributes)
        )
        return output

    def name(self, name: str, edge: str) -> None:
        """Give an edge a name of its own."""
        self._nodes.append(helper.make_node("Identity", [edge], [name]))

    def finished(self, name: str, outputs: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
        """The model."""
        constants = list(self._constants.values())
        graph = helper.make_graph(self._nodes, name, self._inputs, outputs, constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="serin")


class DecoderGraph(Graph):
    """Nodes, constants and the cache of a decoder."""

    def __init__(self) -> None:
        super().__init__(
            [
                tensor("input_ids", TensorProto.INT64, ["rows", "tokens"]),
                tensor("positions", TensorProto.INT64, ["rows", "tokens"]),
                tensor("last", TensorProto.INT32, ["rows"]),
                tensor("length", TensorProto.INT32, []),
                tensor("kept", TensorProto.INT64, [1]),
            ]
        )
        self._outputs: list[onnx.ValueInfoProto] = []
        self._rounded: dict[str, tuple[str, str]] = {}

    def linear(self, name: str, x: str, matrix: Matrix, bias: Array | None = None) -> str:
        """Multiply (tokens, in) by a matrix of (out, in), and add a bias of (out,)."""
        added = [] if bias is None else [self.constant(f"{name}.bias", bias)]
        if isinstance(matrix, Rows):
            product = self._by_rows(name, x, matrix)
            return self.node("Add", [product, *added]) if added else product
        if not isinstance(matrix, Blocks):
            given = [x, self.constant(f"{name}.matrix", matrix), *added]
            return self.node("Gemm", given, transB=1)
        outputs, inputs = matrix.shape
        given = [x, self.constant(f"{name}.codes", matrix.codes)]
        given.append(self.constant(f"{name}.scales", matrix.scales))
        if added:
            given += ["", "", *added]
        return self.node(
            "MatMulNBits",
            given,
            domain="com.microsoft",
            K=inputs,
            N=outputs,
            bits=8,
            block_size=BLOCK,
            accuracy_level=_INT8,
        )

    def _by_rows(self, name: str, x: str, matrix: Rows) -> str:
        """Sums of whole numbers are exact: a token's do not depend on the tokens beside it."""
        codes, largest = self._codes(x)
        given = [
            codes,
            self.constant(f"{name}.codes", matrix.codes.T),
            "level",
            self.constant(f"{name}.scales", matrix.scales),
            "centre",
        ]
        return self.node(
            "Mul", [self.node("MatMulIntegerToFloat", given, domain="com.microsoft"), largest]
        )

    def _codes(self, x: str) -> tuple[str, str]:
        """Of (tokens, in) a byte for each value, and each token's largest value.

        A token of zeros has no codes to speak of; they are multiplied by its largest value, 0.
        """
        if x not in self._rounded:
            axis = self.constant("last_axis", np.array([-1]))
            largest = self.node("ReduceMax", [self.node("Abs", [x]), axis], keepdims=1)
            given = [
                self.node("Div", [x, largest]),
                self.constant("level", np.array(1 / _LEVELS, np.float32)),
                self.constant("centre", np.array(_LEVELS + 1, np.uint8)),
            ]
            self._rounded[x] = self.node("QuantizeLinear", given), largest
        return self._rounded[x]

    def embedding(self, name: str, matrix: Matrix, tokens: str) -> str:
        """Look tokens up; a head of that name shares the weights where they lie as it needs them.

        A head in rows has them turned over, packed by ONNX Runtime. The rows that are looked up
        stay in the file, of which only what is read comes into memory.
        """
        if isinstance(matrix, Rows):
            looked_up = [
                self.node("Gather", [self.constant(f"{name}.{part}", array), tokens])
                for part, array in (("rows", matrix.codes), ("levels", matrix.scales[:, None]))
            ]
            values = self.node("Cast", looked_up[:1], to=TensorProto.FLOAT)
            return self.node("Mul", [values, looked_up[1]])
        if not isinstance(matrix, Blocks):
            return self.node("Gather", [self.constant(f"{name}.matrix", matrix), tokens])
        codes = self.constant(f"{name}.codes", matrix.codes)
        scales = self.constant(f"{name}.scales.apart", matrix.scales[..., None])
        read = self.node(
            "GatherBlockQuantized",
            [codes, tokens, scales],
            domain="com.microsoft",
            bits=8,
            block_size=BLOCK,
            gather_axis=0,
            quantize_axis=2,
        )
        width = matrix.shape[1]
        return self.node("Reshape", [read, self.constant(f"rows.{width}", np.array([-1, width]))])

    def turned(self, x: str, turn: Array, width: int) -> str:
        """Of (tokens, width) as many values side by side as a matrix has, multiplied by it."""
        parts = self.constant(f"parts.{len(turn)}", np.array([-1, len(turn)]))
        product = self.node(
            "MatMul", [self.node("Reshape", [x, parts]), self.constant("turn", turn)]
        )
        return self.node(
            "Reshape", [product, self.constant(f"rows.{width}", np.array([-1, width]))]
        )

    def sum_and_norm(self, x: str, added: str, scale: str, epsilon: float) -> tuple[str, str]:
        """A sum of two, and its values over their root mean square, times a scale each."""
        outputs = [f"{scale}.sum", f"{scale}.normal"]
        self._nodes.append(
            helper.make_node(
                "SkipSimplifiedLayerNormalization",
                [x, added, scale],
                [outputs[1], "", "", outputs[0]],
                domain="com.microsoft",
                epsilon=epsilon,
            )
        )
        return outputs[0], outputs[1]

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
            rotary: cosines and sines where positions are rotations, (positions, aligned size / 2).

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
        cache = [kv_heads, "capacity", wide_size]
        names = []
        for half in ("key", "value"):
            names.append(f"{half}.{layer}")
            before = tensor(names[-1], TensorProto.FLOAT, ["rows", *cache])
            after = tensor(f"new_{names[-1]}", TensorProto.FLOAT, ["rows", *cache])
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
        """Of (rows × tokens, hidden) the last `kept` tokens of each row: (rows × kept, hidden)."""
        shape = self.node("Shape", ["input_ids"])
        wide = self.node("Concat", [shape, self.constant("hidden", np.array([hidden]))], axis=0)
        rows = self.node("Reshape", [x, wide])
        start = self.node("Neg", ["kept"])
        end, axis = (self.constant(*one) for one in (("end", _END), ("tokens_axis", _TOKENS)))
        last = self.node("Slice", [rows, start, end, axis])
        return self.node("Reshape", [last, self.constant("flat_rows", np.array([-1, hidden]))])

    def model(self, name: str, logits: str, vocabulary: int) -> onnx.ModelProto:
        """The finished model."""
        self.name("logits", logits)
        outputs = [tensor("logits", TensorProto.FLOAT, ["answers", vocabulary]), *self._outputs]
        return self.finished(name, outputs)


def tensor(name: str, kind: int, shape: list[Any]) -> onnx.ValueInfoProto:
    """An input or output of a graph."""
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
