"""What a process holds for its clients, and what it refuses before it costs much."""

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictors.runtime import TensorSpec
from predictors.runtime.dataplane.budget import LARGE_BYTES, Budget, Hold
from predictors.runtime.dataplane.unpacking import unpack
from predictors.runtime.lean_kserve import pb
from predictors.runtime.process.memory import memory_limit
from predictors.runtime.v2.errors import BodyTooLarge, InvalidRequest, Overloaded, V2Error
from predictors.runtime.v2.outline import check_json, check_message
from predictors.runtime.v2.signature import Signature

MIB = 1 << 20
SIGNATURE = Signature.of(
    (TensorSpec("a", "FP32", (-1, 4)), TensorSpec("b", "BYTES", (-1,), optional=True)),
    (TensorSpec("c", "FP32", (-1,)),),
)


def too_large(size: int) -> BodyTooLarge:
    return BodyTooLarge(f"{size} bytes")


def test_what_comes_in_gets_half_and_each_connection_half_of_that() -> None:
    """A silent client is refused at its share; another client and whole requests have room."""
    budget = Budget(16 * MIB)
    silent = [Hold(budget, "silent") for _ in range(3)]
    silent[0].grow(2 * MIB)
    silent[1].grow(2 * MIB)
    with pytest.raises(Overloaded):
        silent[2].grow(MIB)
    other = Hold(budget, "other")
    other.grow(3 * MIB)
    third = Hold(budget, "third")
    with pytest.raises(Overloaded):
        third.grow(2 * MIB)
    other.charge(12 * MIB)

    assert budget.held == 16 * MIB
    for hold in (*silent, other, third):
        hold.release()
    assert (budget.held, budget.coming, budget._coming_by) == (0, 0, {})


def test_a_request_that_is_alone_may_be_larger_than_the_budget() -> None:
    """A small limit refuses no request for ever; the next one waits its turn."""
    budget = Budget(MIB)
    large, next_one = Hold(budget, 1), Hold(budget, 2)
    large.grow(4 * MIB)
    large.grow(4 * MIB)
    large.charge(16 * MIB)
    with pytest.raises(Overloaded):
        next_one.grow(1)
    large.release()
    next_one.grow(1)

    assert budget.held == 1


def test_it_says_when_much_was_held_and_is_no_more() -> None:
    """Once for all that was held at a time, by whoever; not for what is small."""
    emptied: list[int] = []
    budget = Budget(16 * MIB, lambda: emptied.append(budget.held))
    small, large, other = (Hold(budget, name) for name in ("small", "large", "other"))
    small.grow(LARGE_BYTES // 2)
    small.release()
    assert emptied == []
    large.grow(LARGE_BYTES)
    other.grow(1)
    large.release()
    assert emptied == []
    other.release()
    assert emptied == [0]
    small.grow(1)
    small.release()
    assert emptied == [0]


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
def test_unpacking_counts_what_it_makes(pack: Any) -> None:
    """Both forms come out whole, and are held."""
    plain = np.random.default_rng(0).bytes(600_000)
    hold = Hold(Budget(16 * MIB), 1)

    assert unpack(pack(plain), MIB, hold, too_large) == plain
    assert hold.size == len(plain)


@pytest.mark.parametrize(
    ("packed", "error"),
    [
        (gzip.compress(bytes(8 * MIB)), InvalidRequest),
        (gzip.compress(np.random.default_rng(0).bytes(2 * MIB)), BodyTooLarge),
        (gzip.compress(b"whole")[:-5], InvalidRequest),
        (gzip.compress(b"whole") + b"more", InvalidRequest),
        (b"rubbish", InvalidRequest),
        (b"", InvalidRequest),
    ],
    ids=["even", "large", "early end", "left over", "rubbish", "empty"],
)
def test_unpacking_refuses_in_time(packed: bytes, error: type[V2Error]) -> None:
    """Nothing is unpacked past the limit, nothing of 250 times its size, nothing damaged."""
    hold = Hold(Budget(64 * MIB), 1)
    with pytest.raises(error):
        unpack(packed, MIB if error is BodyTooLarge else 64 * MIB, hold, too_large)

    assert hold.size <= 3 * MIB


FIELDS = {
    "inputs": b"\x2a\x00",
    "outputs": b"\x32\x00",
    "raw": b"\x3a\x00",
    "names": b"\x0a\x00",
    "unknown": b"\xf8\x07\x01",
    "parameters": b"\x22\x00",
    "group": b"\x0b\x0c",
}


def message(**more: int) -> bytes:
    """A valid request of 20,000 rows, with something `more` often than it should be."""
    request = pb.ModelInferRequest(model_name="m", id="1")
    request.parameters["p"].int64_param = 5
    tensor = request.inputs.add(name="a", datatype="FP32", shape=[20_000, 4])
    tensor.parameters["q"].bool_param = True
    request.outputs.add(name="c").parameters["r"].string_param = "s"
    request.raw_input_contents.append(bytes(320_000))
    own: bytes = request.SerializeToString()
    return own + b"".join(FIELDS[name] * count for name, count in more.items())


def test_a_large_message_that_is_as_declared_passes() -> None:
    """Packed and unpacked shapes, parameters, and what later protocols add."""
    check_message(message(), SIGNATURE)
    check_message(message(names=20, unknown=20, parameters=20), SIGNATURE)


@pytest.mark.parametrize("what", FIELDS)
def test_more_parts_than_a_model_has_are_not_parsed(what: str) -> None:
    """Each repeated part is counted, whatever it holds."""
    with pytest.raises(InvalidRequest):
        check_message(message(**{what: 100_000}), SIGNATURE)


@pytest.mark.parametrize("inner", [b"\x22\x00", b"\x18\x01", b"\x0a\x00"])
def test_parts_of_an_input_are_counted_too(inner: bytes) -> None:
    """Parameters, unpacked sizes and names of one input."""
    large = inner * 10_000
    size = len(large)
    prefix = b"\x2a" + bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
    with pytest.raises(InvalidRequest):
        check_message(prefix + large, SIGNATURE)


TYPED: dict[str, tuple[list[bytes], str | None]] = {
    "as many texts as are taken": ([b"\x42\x01a" * (1 << 19)], None),
    "a text more": ([b"\x42\x01a" * (1 << 19), b"\x42\x00"], "524288 elements of BYTES"),
    "long texts": ([(b"\x42\x80\x02" + b"a" * 256) * 9_000], None),
    "packed": ([b"\x1a\x80\x80\x80\x01" + b"\x7f" * (1 << 21)], None),
    "a number more": (
        [b"\x1a\x80\x80\x80\x01" + b"\x7f" * (1 << 21), b"\x1a\x01\x00"],
        "numbers in",
    ),
    "floats": ([b"\x32\x80\x80\x80\x02" + bytes(1 << 22)], None),
    "not packed": ([b"\x10\x01" * 50_000], "numbers that are not packed"),
    "unknown": ([b"\x78\x01" * 50_000], "numbers that are not packed"),
    "damaged": ([b"\x42"], "not a ModelInferRequest"),
}


@pytest.mark.parametrize("what", TYPED)
def test_typed_contents_are_counted_before_they_are_parsed(what: str) -> None:
    """Over all inputs together: parsing holds Python's lock, some nanoseconds an element."""
    parts, refusal = TYPED[what]
    both = Signature.of(
        tuple(TensorSpec(name, "BYTES", (-1,), optional=True) for name in "ab"),
        (TensorSpec("c", "FP32", (-1,)),),
    )
    large = pb.ModelInferRequest(raw_input_contents=[bytes(1 << 17)]).SerializeToString()
    for contents in parts:
        tensor = pb.ModelInferRequest.InferInputTensor().SerializeToString()
        large += field(0x2A, tensor + field(0x2A, contents))
    if refusal is None:
        check_message(large, both)
    else:
        with pytest.raises(InvalidRequest, match=refusal):
            check_message(large, both)


def field(tag: int, content: bytes) -> bytes:
    """A field of bytes."""
    size = len(content)
    varint = bytes([size >> at & 0x7F | 0x80 for at in (0, 7, 14)]) + bytes([size >> 21])
    return bytes([tag]) + varint + content


@pytest.mark.parametrize("at", [1, 2, 5, 20, 30])
def test_a_truncated_message_is_refused(at: int) -> None:
    """A length that reaches past the end is no reason to look there."""
    with pytest.raises(InvalidRequest):
        check_message(message()[:-at], SIGNATURE)


def test_json_of_many_objects_is_refused_by_its_cost() -> None:
    """Numbers and text of 8 MB pass, empty lists do not."""
    check_json(b"[" + b"0.125," * (8 * MIB // 6) + b"0]")
    check_json(b'["' + b"a few words of a text, with [brackets] and: colons " * 100_000 + b'"]')
    with pytest.raises(BodyTooLarge):
        check_json(b"[" + b"[]," * (8 * MIB // 3) + b"0]")


def test_memory_limit_is_the_least_of_all_groups(tmp_path: Path) -> None:
    """Version 2: the group's own and its parents'; version 1's huge number is none."""
    groups = tmp_path / "groups"
    (groups / "pods" / "one").mkdir(parents=True)
    (groups / "memory" / "pods").mkdir(parents=True)
    own = tmp_path / "cgroup"
    own.write_text("0::/pods/one\n")
    (groups / "pods" / "one" / "memory.max").write_text("max\n")

    assert memory_limit(own, groups) is None
    (groups / "pods" / "memory.max").write_text("536870912\n")
    assert memory_limit(own, groups) == 512 * MIB
    (groups / "pods" / "one" / "memory.max").write_text("1048576\n")
    assert memory_limit(own, groups) == MIB
    own.write_text("3:cpu:/pods\n5:memory:/pods\n")
    (groups / "memory" / "pods" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert memory_limit(own, groups) is None
    (groups / "memory" / "pods" / "memory.limit_in_bytes").write_text("2097152\n")
    assert memory_limit(own, groups) == 2 * MIB
    assert memory_limit(tmp_path / "nothing", groups) is None
