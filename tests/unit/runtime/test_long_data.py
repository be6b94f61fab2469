"""The data of large JSON bodies: read in pieces, and as if it had been read whole."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest

from predictors.runtime.v2.body import decode as decoding
from predictors.runtime.v2.body import encode as encoding
from predictors.runtime.v2.body import long_data
from predictors.runtime.v2.body.decode import decode
from predictors.runtime.v2.body.encode import encode
from predictors.runtime.v2.errors import BodyTooLarge, InvalidRequest
from predictors.runtime.v2.signature import Request, Signature
from predictors.runtime.v2.spec import TensorSpec

MIB = 1 << 20
INPUTS = (
    TensorSpec("numbers", "FP32", (-1, 2), optional=True),
    TensorSpec("integers", "INT16", (-1, 2), optional=True),
    TensorSpec("cubes", "FP64", (-1, -1, -1), optional=True),
    TensorSpec("flags", "BOOL", (-1,), optional=True),
    TensorSpec("texts", "BYTES", (-1,), optional=True),
)
OUTPUTS = (
    TensorSpec("y", "FP64", (-1, 2)),
    TensorSpec("small", "INT64", (-1,)),
    TensorSpec("label", "BYTES", (-1,)),
)
SIGNATURE = Signature.of(INPUTS, OUTPUTS)
STRANGE = b'[][]{},,,,:"\\0159.eE-+ \n\ttrufalsn'


def body_of(rng: random.Random) -> bytes:
    """A request of a few tensors, most of them as declared, in one of JSON's many spellings."""
    rows = rng.randrange(5)
    tensors = [tensor_of(rng, rng.choice(INPUTS), rows) for _ in range(rng.randrange(1, 4))]
    document: dict[str, Any] = {"id": 'an "id" with "data":[1,2]', "inputs": tensors}
    if rng.random() < 0.1:
        document["data"] = [1, 2, 3]
    body = orjson.dumps(document, option=orjson.OPT_INDENT_2 if rng.random() < 0.5 else 0)
    if rng.random() < 0.3:
        body = body.replace(b",", b" , ").replace(b"]", b" ]")
    return body


def tensor_of(rng: random.Random, spec: TensorSpec, rows: int) -> dict[str, Any]:
    """A tensor of some rows, flat or nested, now and then not of its shape."""
    shape = [rows if size < 0 else size for size in spec.shape]
    make: Callable[[], Any] = {
        "FP32": lambda: rng.choice([0, -1, 1.5, 1e-40, 1e39 if rng.random() < 0.1 else 2e30]),
        "INT16": lambda: rng.choice([0, 1, -1.0, 40000 if rng.random() < 0.1 else 7]),
        "FP64": lambda: rng.uniform(-1e300, 1e300),
        "BOOL": lambda: rng.random() < 0.5,
        "BYTES": lambda: rng.choice(["", 'a "b', "\\", "größe\n", ']},"data":[1,2]', "x" * 30]),
    }[spec.datatype]
    flat = [make() for _ in range(int(np.prod(shape)) + (rng.random() < 0.05))]
    if flat and rng.random() < 0.05:
        flat[rng.randrange(len(flat))] = rng.choice([None, True, "a", [], [1], {}, 1])
    data: Any = flat
    if rng.random() < 0.6:
        for size in reversed(shape[1:]):
            if size:
                data = [data[at : at + size] for at in range(0, len(data), size)]
            else:
                data = [[] for _ in range(rows)]
    return {"name": spec.name, "datatype": spec.datatype, "shape": shape, "data": data}


def changed(rng: random.Random, body: bytes) -> bytes:
    """A body with some bytes put in, left out or replaced."""
    text = bytearray(body)
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        at = rng.randrange(len(text))
        size = rng.choice([0, 1, 1, 2])
        text[at : at + size] = bytes(rng.choices(STRANGE, k=rng.choice([0, 1, 1, 2])))
    return bytes(text)


def outcome(body: bytes) -> object:
    """The arrays of a request as they are told apart, or that it was refused."""
    try:
        arrays = decode(body, None, SIGNATURE).arrays
    except InvalidRequest:
        return InvalidRequest
    return {
        name: (array.dtype, array.shape, array.tolist() if array.dtype.hasobject else bytes(array))
        for name, array in arrays.items()
    }


@pytest.mark.parametrize("seed", range(10))
def test_what_is_read_in_pieces_is_what_a_parser_reads(seed: int) -> None:
    """Good and broken bodies come to the same arrays, or are refused, whichever way they go."""
    rng = random.Random(seed)
    for _ in range(250):
        body = changed(rng, body_of(rng))
        whole = outcome(body)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decoding, "LOOKED_AT_BYTES", 0)
            patch.setattr(long_data, "_CUT_BYTES", 0)
            patch.setattr(long_data, "PIECE_BYTES", rng.choice([1, 2, 7, 20, 1000]))
            assert outcome(body) == whole, body


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        (b"[[[1,2],[3,4]]]", [1, 2, 2]),
        (b"[[[1[,2],[3,4]]]", [1, 2, 2]),
        (b"[[[1,2]3,[4]]]", [1, 2, 2]),
        (b"[[[1,]2,[3,4]]]", [1, 2, 2]),
        (b"[[[1,2],[3,4]]]5", [1, 2, 2]),
        (b"[[[1,2,3],[4]]]", [1, 2, 2]),
        (b"[[[1,2]],[[3,4]]]", [1, 2, 2]),
        (b"[[1,2],[3,4]]", [1, 2, 2]),
        (b"[[],[]]", [2, 0, 3]),
        (b"[[],[5]]", [2, 0, 3]),
        (b"[[5],[]]", [2, 0, 3]),
        (b"[[],[]]", [2, 1, 1]),
        (b"[[[]],[[]]]", [2, 1, 1]),
        (b"[[[],[]]]", [1, 2, 0]),
        (b"[]", [0, 5, 5]),
        (b"[ ]", [0, 5, 5]),
        (b"[[]]", [0, 5, 5]),
        (b"[]", [1 << 20, 0, 1 << 20]),
        (b"[[]]", [1 << 20, 0, 1 << 20]),
        (b"[1, ,2,3,4]", [1, 2, 2]),
        (b"[1,2,3,4, ]", [1, 2, 2]),
        (b"[ ,1,2,3,4]", [1, 2, 2]),
        (b"[1,2 3,4]", [1, 2, 2]),
        (b"[ , ]", [1, 2, 2]),
        (b"[1,{},3,4]", [1, 2, 2]),
        (b"[1,2,3,4", [1, 2, 2]),
        (b"1,2,3,4]", [1, 2, 2]),
    ],
)
def test_lists_in_pieces_are_lists(
    data: bytes, shape: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every bracket counts, though numbers are read without them."""
    body = of("cubes", data, shape)
    whole = message(body)
    monkeypatch.setattr(decoding, "LOOKED_AT_BYTES", 0)
    monkeypatch.setattr(long_data, "_CUT_BYTES", 0)
    for size in (1, 3, 1000):
        monkeypatch.setattr(long_data, "PIECE_BYTES", size)
        assert message(body) == whole


def message(body: bytes) -> object:
    """The arrays of a request, or what refuses it; of what is not JSON that it is not."""
    try:
        array = decode(body, None, SIGNATURE).arrays["cubes"]
        return array.shape, bytes(array)
    except InvalidRequest as error:
        return str(error).partition("JSON")[0]


def test_some_of_these_bodies_are_read_in_pieces() -> None:
    """Of what the test above compares, most has arrays that are cut out, of every kind."""
    rng = random.Random(1)
    kinds: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_data, "_CUT_BYTES", 0)
        for _ in range(200):
            body = body_of(rng)
            rest, arrays = long_data.cut(body)
            document = orjson.loads(rest)
            long_data.restore(document, arrays)
            kinds |= {
                tensor["datatype"]
                for tensor in document["inputs"]
                if type(tensor["data"]) is long_data.LongData
            }
    assert kinds == {spec.datatype for spec in INPUTS}


def of(name: str, data: bytes, shape: list[int], spec: TensorSpec | None = None) -> bytes:
    """A request of one tensor."""
    datatype = (spec or SIGNATURE.inputs[name]).datatype
    head = orjson.dumps({"name": name, "datatype": datatype, "shape": shape})
    return b'{"inputs":[%b,"data":%b}]}' % (head[:-1], data)


def listed(element: bytes, count: int) -> bytes:
    """A JSON array of equal elements."""
    return b"[%b]" % b",".join([element] * count)


LARGE = {
    "flat": of("numbers", listed(b"1", 4_000_000), [2_000_000, 2]),
    "nested": of("numbers", listed(b"[1, 2]", 300_000), [300_000, 2]),
    "one row": of("cubes", b"[[%b]]" % listed(b"1.5", 1_500_000), [1, 1, 1_500_000]),
    "wrong lists": of("numbers", listed(b"[]", 700_000), [700_000, 2]),
    "nothing but nulls": of("numbers", listed(b"null", 1_600_000), [800_000, 2]),
    "booleans": of("flags", listed(b"true", 1_600_000), [1_600_000]),
    "texts": of("texts", listed(b'"a"', 1_000_000), [1_000_000]),
    "texts with escapes": of("texts", listed(rb'"\u00e9\""', 600_000), [600_000]),
    "of another tensor": of("numbers", listed(b'"a"', 1_000_000), [1_000_000, 2]),
    "objects": b'{"inputs":%b}' % listed(b"{}", 430_000),
    "lists": b'{"inputs":%b}' % listed(b"[]", 700_000),
    "a shape": of("numbers", b"[]", []).replace(b'"shape":[]', b'"shape":' + listed(b"1", 10**6)),
    "data elsewhere": b'{"inputs":[],"parameters":{"data":%b}}' % listed(b"1", 4_000_000),
    "data twice": of("numbers", listed(b"1", 10**6) + b',"data":[1,2]', [1, 2]),
    "mixed": of("numbers", b"[{}," + listed(b"1", 4_000_000) + b"]", [1, 2]),
    "many small": b'{"inputs":%b}' % listed(b'{"data":[1,[2]]}', 300_000),
}


@pytest.mark.parametrize("kind", LARGE)
def test_no_parser_has_much_to_read_at_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 8 MiB, what a parser or converter is handed at a time never takes it long.

    It keeps Python's lock for as long as it works, and with it everybody else. How long that is
    depends on the machine, what it is handed does not.
    """
    assert len(LARGE[kind]) <= 8 * MIB
    read: list[int] = []

    def loads(text: bytes) -> Any:
        values = 1 + text.count(b",") + text.count(b":") + 20 * text.count(b"[")
        read.append(values)
        return orjson.loads(text)

    class Watched:
        """orjson with a witness."""

        JSONDecodeError = orjson.JSONDecodeError

    Watched.loads = staticmethod(loads)  # type: ignore[attr-defined]
    monkeypatch.setattr(long_data, "orjson", Watched)
    monkeypatch.setattr(decoding, "orjson", Watched)
    try:
        decode(LARGE[kind], None, SIGNATURE)
    except (InvalidRequest, BodyTooLarge):
        assert kind not in ("flat", "nested", "one row", "booleans", "texts", "texts with escapes")
    assert max(read, default=0) <= 40_000


def test_an_error_in_a_large_body_says_where_it_is() -> None:
    """The element's number is the tensor's, and the byte is the body's."""
    numbers = listed(b"1", 100_000)
    wrong = numbers[:-1] + b",1e39]"
    with pytest.raises(InvalidRequest, match=r"1e\+39 at element 100000 is beyond FP32"):
        decode(of("numbers", wrong, [50_000, 2]), None, SIGNATURE)
    body = of("numbers", numbers, [50_000, 2])
    broken = body[: -len(b"}]}")] + b"oops}]}"
    with pytest.raises(InvalidRequest, match=r"is not JSON: .*, near byte") as caught:
        decode(broken, None, SIGNATURE)
    assert abs(int(str(caught.value).rsplit(" ", 1)[1]) - broken.index(b"oops")) <= 1
    broken = body[:150_000] + b"oops" + body[150_000:]
    with pytest.raises(InvalidRequest, match=r"is not JSON: .*, near byte") as caught:
        decode(broken, None, SIGNATURE)
    assert abs(int(str(caught.value).rsplit(" ", 1)[1]) - 150_000) <= 8


def test_a_long_text_is_whole() -> None:
    """Of a megabyte in one string, plain, escaped or damaged, a model gets what JSON says."""
    rng = random.Random(3)
    for text in ("größe" * 200_000, "x" * MIB, "\\\n" * 100_000, "\0" + "x" * MIB):
        body = of("texts", orjson.dumps([text, "a"]), [2])
        assert decode(body, None, SIGNATURE).arrays["texts"].tolist() == [text.encode(), b"a"]
    good = of("texts", orjson.dumps(["x" * MIB]), [1])
    for octet in (0x00, 0x0A, 0x80, 0xFF):
        broken = bytearray(good)
        broken[rng.randrange(1000, MIB)] = octet
        with pytest.raises(InvalidRequest, match="is not JSON"):
            decode(bytes(broken), None, SIGNATURE)


def answer_of(rows: int, *, y: float = 0.1) -> bytes:
    """An answer of all outputs, in JSON."""
    rng = np.random.default_rng(1)
    outputs = {
        "y": rng.random((rows, 2)) + y,
        "small": np.arange(3),
        "label": np.array([f'"{number}' for number in range(rows)], object),
    }
    request = Request("an id", {}, rows, tuple((spec, False) for spec in OUTPUTS))
    return encode(request, outputs, "model", "1")[0]


def test_a_large_answer_is_written_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same bytes as one that is written at once, and refuses what JSON cannot carry."""
    monkeypatch.setattr(encoding, "_MANY", 10**9)
    whole = {rows: answer_of(rows) for rows in (5, 100, 12_345)}
    for many in (4, 10, 200, 10_000):
        monkeypatch.setattr(encoding, "_MANY", many)
        assert {rows: answer_of(rows) for rows in whole} == whole
        with pytest.raises(InvalidRequest, match="'y' is NaN or infinite"):
            answer_of(100, y=float("inf"))
