"""JSON, binary and typed contents to arrays, for every V2 datatype."""

from typing import Any

import numpy as np
import orjson
import pytest

from predictors.runtime.lean_kserve import pb
from predictors.runtime.v2 import protobuf
from predictors.runtime.v2.body.decode import decode
from predictors.runtime.v2.datatypes import NUMPY_OF, to_wire
from predictors.runtime.v2.errors import InvalidRequest
from predictors.runtime.v2.protobuf import decode_grpc
from predictors.runtime.v2.signature import Signature
from predictors.runtime.v2.spec import TensorSpec

INTEGERS = [name for name, dtype in NUMPY_OF.items() if dtype.kind in "iu"]


def signature_of(datatype: str, shape: tuple[int, ...] = (-1,), **options: Any) -> Signature:
    """One input `x` and one output `y` of a datatype."""
    spec = TensorSpec("x", datatype, shape, **options)
    return Signature.of((spec,), (TensorSpec("y", datatype, shape),))


def from_json(datatype: str, data: Any, shape: list[int] | None = None, **options: Any) -> Any:
    """The array that JSON data becomes."""
    count = len(data) if shape is None else 0
    tensor = {"name": "x", "datatype": datatype, "shape": shape or [count], "data": data}
    declared = options.pop("declared", (-1,) * len(tensor["shape"]))
    signature = signature_of(datatype, declared, **options)
    return decode(orjson.dumps({"inputs": [tensor]}), None, signature).arrays["x"]


def refused(datatype: str, data: Any, **options: Any) -> str:
    """The message that refuses JSON data."""
    with pytest.raises(InvalidRequest) as caught:
        from_json(datatype, data, **options)
    assert "'x'" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integers_are_exact_to_their_limits(datatype: str) -> None:
    """The smallest and largest value pass unchanged; one beyond either is refused."""
    limits: Any = np.iinfo(NUMPY_OF[datatype])
    extremes = [int(limits.min), int(limits.max)]

    array = from_json(datatype, extremes)
    assert (array.dtype, array.tolist()) == (NUMPY_OF[datatype], extremes)
    for beyond in (limits.min - 1, limits.max + 1):
        if -(2**63) <= beyond < 2**64:
            assert datatype in refused(datatype, [int(beyond)])


@pytest.mark.parametrize("datatype", INTEGERS)
def test_whole_numbers_written_with_a_point_are_integers(datatype: str) -> None:
    """1.0 is 1 in JSON; 1.5 is no integer; 1e300 has lost its digits."""
    assert from_json(datatype, [1.0, 2, 1e1]).tolist() == [1, 2, 10]
    assert "1.5" in refused(datatype, [1.5])
    refused(datatype, [1e300])


@pytest.mark.parametrize("datatype", [*INTEGERS, "FP32", "FP64"])
@pytest.mark.parametrize("odd", ["1", None, True, [1], {}], ids=str)
def test_numbers_are_numbers(datatype: str, odd: Any) -> None:
    """Strings, nulls, booleans, lists and objects among numbers are refused, alone or first."""
    refused(datatype, [odd])
    refused(datatype, [1, odd])


def test_float_tensors_take_integers_and_keep_signs() -> None:
    """JSON has one number type: 3 is a float where one is wanted, and -0.0 stays negative."""
    array = from_json("FP32", [3, -0.0, 0.1])

    assert array.dtype == np.float32
    assert array.tolist() == [3.0, 0.0, float(np.float32(0.1))]
    assert np.signbit(array).tolist() == [False, True, False]


def test_float_beyond_fp32_is_refused_with_its_place() -> None:
    """3.5e38 does not fit FP32; it fits FP64."""
    assert "element 1" in refused("FP32", [1.0, 3.5e38])
    assert from_json("FP64", [3.5e38]).tolist() == [3.5e38]


def test_booleans_are_booleans() -> None:
    """JSON booleans, not 0 and 1."""
    assert from_json("BOOL", [True, False]).tolist() == [True, False]
    assert "true or false" in refused("BOOL", [0, 1])
    assert "true or false" in refused("BOOL", [True, 1])


def test_strings_are_bytes_in_utf8() -> None:
    """BYTES elements may be empty or any Unicode; numbers are no strings."""
    assert from_json("BYTES", ["", "größe", "\u0000"]).tolist() == [b"", "größe".encode(), b"\0"]
    assert from_json("BYTES", [["a", "b"]], [1, 2]).shape == (1, 2)
    assert "strings" in refused("BYTES", ["a", 1])


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_precision_has_no_json_form(datatype: str) -> None:
    """The protocol carries FP16 and BF16 as binary only."""
    assert "binary" in refused(datatype, [1.0])


def test_nesting_is_flat_or_the_shape_itself() -> None:
    """[[1,2],[3,4]] is [2,2]; other nestings of the same numbers are refused."""
    assert from_json("INT64", [[1, 2], [3, 4]], [2, 2]).tolist() == [[1, 2], [3, 4]]
    assert from_json("INT64", [1, 2, 3, 4], [2, 2]).tolist() == [[1, 2], [3, 4]]
    assert from_json("INT64", [[], []], [2, 0]).shape == (2, 0)
    for data in ([[1, 2, 3, 4]], [[1], [2], [3], [4]], [[1, 2], [3]], [[[1, 2]], [[3, 4]]]):
        refused("INT64", data, shape=[2, 2])
    refused("BYTES", [["a", "b"], "cd"], shape=[2, 2])


def test_accepted_shapes_are_brought_to_the_declared_one() -> None:
    """A (1, 2, 2) tensor for a (-1, 4) input that also takes (-1, 2, 2)."""
    options = {"declared": (-1, 4), "also_accepts": ((-1, 2, 2),)}
    nested = from_json("INT64", [[[1, 2], [3, 4]]], [1, 2, 2], **options)

    assert nested.tolist() == [[1, 2, 3, 4]]
    assert "[-1, 4] or [-1, 2, 2]" in refused("INT64", [1, 2, 3, 4], shape=[2, 2], **options)


@pytest.mark.parametrize("datatype", NUMPY_OF)
def test_binary_tensors_need_their_exact_length(datatype: str) -> None:
    """A missing or an additional byte is refused, and so is one left behind the last tensor."""
    elements = [b"ab", b""] if datatype == "BYTES" else [1, 0]
    raw = to_wire(np.array(elements, NUMPY_OF[datatype]), datatype)

    def read(sent: bytes, size: int) -> Any:
        parameters = {"binary_data_size": size}
        tensor = {"name": "x", "datatype": datatype, "shape": [2], "parameters": parameters}
        header = orjson.dumps({"inputs": [tensor]})
        return decode(header + sent, len(header), signature_of(datatype)).arrays["x"]

    assert read(raw, len(raw)).tolist() == elements
    for sent, size in ((raw[:-1], len(raw) - 1), (raw + b"\0", len(raw) + 1), (raw, len(raw) + 1)):
        with pytest.raises(InvalidRequest, match="'x'"):
            read(sent, size)
    with pytest.raises(InvalidRequest, match="left after the last"):
        read(raw + b"\0", len(raw))


def test_bytes_lengths_are_held_to_what_is_there() -> None:
    """An element that claims four gigabytes allocates nothing."""
    for raw in (b"\xff\xff\xff\xff", b"\x01\0\0\0", b"\x01\0\0\0ab"):
        message = pb.ModelInferRequest(raw_input_contents=[raw])
        message.inputs.add(name="x", datatype="BYTES", shape=[1])
        with pytest.raises(InvalidRequest, match="'x'"):
            decode_grpc(message, signature_of("BYTES"))
    message.inputs[0].shape[0] = 2**30
    with pytest.raises(InvalidRequest, match="at least"):
        decode_grpc(message, signature_of("BYTES"))


def test_binary_booleans_are_zero_or_one() -> None:
    """A BOOL byte of 2 would be a boolean that equals neither."""
    message = pb.ModelInferRequest(raw_input_contents=[b"\2"])
    message.inputs.add(name="x", datatype="BOOL", shape=[1])

    with pytest.raises(InvalidRequest, match="0 or 1"):
        decode_grpc(message, signature_of("BOOL"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_come_in_only_where_allowed(value: float) -> None:
    """Binary can carry them; an input says whether it takes them."""
    message = pb.ModelInferRequest(raw_input_contents=[np.array([0, value], "<f4").tobytes()])
    message.inputs.add(name="x", datatype="FP32", shape=[2])

    with pytest.raises(InvalidRequest, match="element 1"):
        decode_grpc(message, signature_of("FP32"))
    assert decode_grpc(message, signature_of("FP32", allow_nan=True)).rows == 2


@pytest.mark.parametrize("datatype", INTEGERS)
def test_typed_contents_are_held_to_the_datatype(datatype: str) -> None:
    """INT8 travels in a 32-bit field: 300 does not fit it."""
    bits = NUMPY_OF[datatype].itemsize * 8
    field = ("u" if datatype[0] == "U" else "") + "int" + ("64" if bits == 64 else "") + "_contents"
    message = pb.ModelInferRequest()
    tensor = message.inputs.add(name="x", datatype=datatype, shape=[1])
    getattr(tensor.contents, field).append(2 ** (bits - 1) - 1)

    assert decode_grpc(message, signature_of(datatype)).arrays["x"].tolist() == [
        2 ** (bits - 1) - 1
    ]
    if bits < 32:
        getattr(tensor.contents, field)[0] = 2**bits
        with pytest.raises(InvalidRequest, match="out of range"):
            decode_grpc(message, signature_of(datatype))
    tensor.contents.bool_contents.append(True)
    with pytest.raises(InvalidRequest, match="got bool_contents"):
        decode_grpc(message, signature_of(datatype))


def test_bf16_rounds_to_nearest_even_and_keeps_nan() -> None:
    """float32 to BF16 as hardware does it."""
    values = np.array([1.0, 1.00390625, 1.01171875, np.nan, np.inf], np.float32)
    raw = np.frombuffer(to_wire(values, "BF16"), "<u2")

    assert raw[:3].tolist() == [0x3F80, 0x3F80, 0x3F82]
    again = (raw.astype("<u4") << 16).view("<f4")
    assert np.isnan(again[3])
    assert np.isinf(again[4])


def test_missing_input_and_differing_batches_are_named() -> None:
    """Two inputs: both must come, with as many rows."""
    specs = (TensorSpec("a", "INT64", (-1,)), TensorSpec("b", "INT64", (-1,)))
    signature = Signature.of(specs, (TensorSpec("y", "INT64", (-1,)),))

    def read(**rows: int) -> Any:
        tensors = [
            {"name": name, "datatype": "INT64", "shape": [count], "data": [0] * count}
            for name, count in rows.items()
        ]
        return decode(orjson.dumps({"inputs": tensors}), None, signature)

    assert read(a=2, b=2).rows == 2
    with pytest.raises(InvalidRequest, match="'b' is missing"):
        read(a=2)
    with pytest.raises(InvalidRequest, match="'a' has 2, 'b' has 3"):
        read(a=2, b=3)


def test_an_optional_input_may_be_left_out_and_is_held_to_its_declaration() -> None:
    """What did not come is not there; what came has as many rows; a required one must come."""
    specs = (TensorSpec("a", "INT64", (-1,)), TensorSpec("b", "INT64", (-1,), optional=True))
    signature = Signature.of(specs, (TensorSpec("y", "INT64", (-1,)),))

    def read(**values: list[int]) -> Any:
        tensors = [
            {"name": name, "datatype": "INT64", "shape": [len(data)], "data": data}
            for name, data in values.items()
        ]
        return decode(orjson.dumps({"inputs": tensors}), None, signature).arrays

    assert list(read(a=[1])) == ["a"]
    assert read(b=[2], a=[1])["b"].tolist() == [2]
    with pytest.raises(InvalidRequest, match="'a' is missing"):
        read(b=[2])
    with pytest.raises(InvalidRequest, match="'a' has 1, 'b' has 2"):
        read(a=[1], b=[2, 3])


def test_a_model_of_optional_inputs_alone_still_wants_one() -> None:
    """A request of no inputs at all says nothing, not even how many rows."""
    specs = (TensorSpec("a", "INT64", (-1,), optional=True),)
    signature = Signature.of(specs, (TensorSpec("y", "INT64", (-1,)),))

    for refuse in (
        lambda: decode(b'{"inputs": []}', None, signature),
        lambda: decode_grpc(pb.ModelInferRequest(), signature),
    ):
        with pytest.raises(InvalidRequest, match="expected any of a"):
            refuse()


@pytest.mark.parametrize(
    ("datatype", "field", "values"),
    [
        ("INT64", "int64_contents", [1, -(2**63), 2**63 - 1, 5, 6, 7, 8]),
        ("UINT64", "uint64_contents", [2**64 - 1, 0, 1, 2, 3, 4, 5]),
        ("INT8", "int_contents", [1, -128, 127, 5, 6, 7, 8]),
        ("FP32", "fp32_contents", [0.5, -1.5, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ("BOOL", "bool_contents", [True, False, True, True, False, False, True]),
        ("BYTES", "bytes_contents", [b"a", b"", b"\xff", b"b", b"c", b"d", b"e"]),
    ],
)
def test_typed_contents_are_read_some_at_a_time(
    datatype: str, field: str, values: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are taken at once, the array is the same, and what is out of range refused."""
    message = pb.ModelInferRequest()
    tensor = message.inputs.add(name="x", datatype=datatype, shape=[len(values)])
    getattr(tensor.contents, field).extend(values)
    taken: list[int] = []
    whole = protobuf._elements

    def watched(spec: TensorSpec, some: Any) -> Any:
        taken.append(len(some))
        return whole(spec, some)

    monkeypatch.setattr(protobuf, "_elements", watched)
    for many in (7, 3, 1):
        monkeypatch.setattr(protobuf, "_MANY", many)
        array = decode_grpc(message, signature_of(datatype)).arrays["x"]
        assert (array.dtype, array.tolist()) == (NUMPY_OF[datatype], values)
        assert max(taken) == many
        taken.clear()
    if datatype == "INT8":
        getattr(tensor.contents, field)[-1] = 128
        with pytest.raises(InvalidRequest, match="128 is out of range of INT8"):
            decode_grpc(message, signature_of(datatype))
