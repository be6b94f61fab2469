"""HPACK as RFC 7541 has it: what `hpack` encodes is read alike, and damage is told apart."""

import random

import hpack
import pytest

from predictors.runtime.http2.frames import ConnectionFault, ErrorCode, StreamFault
from predictors.runtime.http2.header_blocks import Field, HeaderReader, HeadReader, block_of

LIMIT = 16_384


def some_fields(rng: random.Random) -> list[Field]:
    """Fields that repeat often, some long, some unlike any other."""
    names = [b"x-%d" % rng.randrange(6), b"content-type", b":path", b"x-request-id", b"te"]
    values = [b"", b"trailers", b"v%d" % rng.randrange(9), rng.randbytes(rng.randrange(300))]
    return [(rng.choice(names), rng.choice(values)) for _ in range(rng.randrange(1, 9))]


@pytest.mark.parametrize("seed", range(20))
def test_what_hpack_encodes_is_read_alike_whatever_the_table_did(seed: int) -> None:
    """Blocks of one connection, repeated blocks and table sizes among them, known or not."""
    rng = random.Random(seed)
    encoder = hpack.Encoder()
    plain, knowing = HeaderReader(LIMIT), HeadReader(LIMIT, list)
    for _ in range(200):
        if rng.randrange(20) == 0:
            encoder.header_table_size = rng.choice([0, 64, 200, 4096])
        fields = some_fields(rng)
        block = encoder.encode(fields, huffman=rng.random() < 0.5)
        # An encoder may index nothing the second time, so the same bytes come often.
        assert plain.read(block) == fields
        assert knowing.read(block) == fields


def test_block_that_changes_the_table_changes_what_known_blocks_mean() -> None:
    """The newest entry is index 62: after an insertion the same byte is another field."""
    reader = HeadReader(LIMIT, list)
    reader.read(b"\x40\x01a\x011")
    first = reader.read(b"\xbe")
    again = reader.read(b"\xbe")
    reader.fields(b"\x40\x01b\x012")

    assert first == again == [(b"a", b"1")]
    assert reader.read(b"\xbe") == [(b"b", b"2")]


def test_equal_blocks_are_parsed_once() -> None:
    """What costs is the parsing of a head; a client's calls mostly share one."""
    parsed: list[list[Field]] = []

    def parse(fields: list[Field]) -> list[Field]:
        parsed.append(fields)
        return fields

    reader = HeadReader(LIMIT, parse)
    for _ in range(5):
        reader.read(b"\x83\x86")

    assert parsed == [[(b":method", b"POST"), (b":scheme", b"http")]]


@pytest.mark.parametrize(
    "block",
    ["80", "be", "ff80808080808001", "40", "4001", "000161", "3fe220", "8320", "0085ffffffffff00"],
    ids=[
        *("index 0", "no such entry", "endless integer", "no name", "short name", "no value"),
        *("table over 4096", "size behind a field", "Huffman end of string"),
    ],
)
def test_damaged_block_is_a_compression_error(block: str) -> None:
    """RFC 9113, 4.3: the connection cannot go on."""
    with pytest.raises(ConnectionFault) as caught:
        HeaderReader(LIMIT).read(bytes.fromhex(block))

    assert caught.value.code is ErrorCode.COMPRESSION_ERROR


def test_random_bytes_are_fields_or_a_fault() -> None:
    """20,000 blocks of noise, on tables that earlier noise filled."""
    rng = random.Random(1)
    for _ in range(2_000):
        reader = HeaderReader(LIMIT)
        try:
            for _ in range(10):
                reader.read(rng.randbytes(rng.randrange(60)))
        except (ConnectionFault, StreamFault):
            pass


def test_header_bomb_is_refused_and_leaves_the_table_right() -> None:
    """One byte a field, each of 4 KB: nothing is collected past the limit."""
    reader = HeaderReader(LIMIT)
    reader.read(b"\x40" + block_of([(b"a", b"x" * 4_000)])[1:])
    with pytest.raises(StreamFault) as caught:
        reader.read(b"\xbe" * 20)

    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM
    assert reader.read(b"\xbe")[0][0] == b"a"


@pytest.mark.parametrize(
    "block",
    [b"\xbe" * 5_000, b"\x40\0\0" * 5_000, b"\x20" * 3 + b"\x82"],
    ids=["references", "inserts", "sizes"],
)
def test_what_is_far_too_much_is_not_read_to_its_end(block: bytes) -> None:
    """Not even to keep the table: that work is what the sender wants."""
    reader = HeaderReader(LIMIT)
    reader.read(b"\x40" + block_of([(b"a", b"x" * 4_000)])[1:])

    with pytest.raises(ConnectionFault):
        reader.read(block)


def test_our_blocks_are_read_without_a_table() -> None:
    """Short and long values; `hpack` reads back what was written."""
    fields = [(b"grpc-status", b"0"), (b"grpc-message", b"m" * 126), (b"x", b"y" * 5_000)]

    assert list(hpack.Decoder().decode(block_of(fields), raw=True)) == fields
