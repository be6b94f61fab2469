"""HPACK (RFC 7541): reading a connection's header blocks, and writing ours without its table.

The `hpack` package gives the tables and the Huffman code. Its decoder is not used: on the dozen
fields of a call that Envoy passed on, each with a request id of its own, it took 38 µs, this 13.
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from predictors.runtime.http2.frames import ConnectionFault, ErrorCode, StreamFault
from predictors.runtime.http2.limits import MAX_READ_BYTES

Field = tuple[bytes, bytes]
TABLE_BYTES = 4_096  # SETTINGS_HEADER_TABLE_SIZE, left at its default
FIELD_OVERHEAD = 32  # what a field counts beside its bytes (4.1)
_MAX_KNOWN = 64
_MAX_RESIZES = 2  # of a block: the smallest and the last (4.2)
_MAX_INTEGER_SHIFT = 21  # of the continuation bytes: far past any length that fits a block
_STATIC: tuple[Field, ...] = ((b"", b""), *HeaderTable.STATIC_TABLE)
Head = TypeVar("Head")


class HeaderReader:
    """Decodes the header blocks of one connection, in their order."""

    def __init__(self, max_list_bytes: int) -> None:
        self.changed = False
        """Whether the last block changed the table, and so what earlier blocks mean."""
        self._max_list_bytes = max_list_bytes
        self._table: deque[Field] = deque()
        self._table_bytes = 0
        self._limit = TABLE_BYTES

    def read(self, block: bytes) -> list[Field]:
        """Decode a block.

        Raises:
            ConnectionFault: the block is damaged; the table is unusable from here on.
                Or the fields are more than is read of any, and the table is not kept.
            StreamFault: the fields are more than we take; the table is as it should be.
        """
        self.changed = False
        try:
            return self._read(block)
        except (IndexError, HPACKDecodingError) as error:
            raise _damaged(str(error)) from error

    def _read(self, block: bytes) -> list[Field]:
        fields: list[Field] = []
        room, resized = self._max_list_bytes, 0
        position, end = 0, len(block)
        while position < end:
            first = block[position]
            if first & 0x80:  # an indexed field (6.1)
                index, position = _integer(block, position, 0x7F)
                field = self._field(index)
            elif first & 0x40:  # a literal to be indexed (6.2.1)
                field, position = self._literal(block, position, 0x3F)
                self._insert(field)
            elif first & 0x20:  # a new size of the table (6.3)
                if room != self._max_list_bytes:
                    raise _damaged("the table's size changes behind a field")
                resized += 1
                if resized > _MAX_RESIZES:
                    raise _damaged("the table's size changes too often")
                size, position = _integer(block, position, 0x1F)
                self._resize(size)
                continue
            else:  # a literal that is not to be indexed (6.2.2, 6.2.3)
                field, position = self._literal(block, position, 0x0F)
            room -= len(field[0]) + len(field[1]) + FIELD_OVERHEAD
            if room >= 0:  # past it the table is kept right, and nothing else
                fields.append(field)
            elif room < self._max_list_bytes - MAX_READ_BYTES:
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "far too many header bytes")
        if room < 0:
            raise StreamFault(ErrorCode.ENHANCE_YOUR_CALM, "too many header bytes")
        return fields

    def _field(self, index: int) -> Field:
        if index >= len(_STATIC):
            return self._table[index - len(_STATIC)]
        if index == 0:
            raise _damaged("index 0")
        return _STATIC[index]

    def _literal(self, block: bytes, position: int, mask: int) -> tuple[Field, int]:
        index, position = _integer(block, position, mask)
        if index:
            name = self._field(index)[0]
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        return (name, value), position

    def _insert(self, field: Field) -> None:
        self.changed = True
        self._table.appendleft(field)
        self._table_bytes += len(field[0]) + len(field[1]) + FIELD_OVERHEAD
        self._evict()

    def _resize(self, size: int) -> None:
        if size > TABLE_BYTES:
            raise _damaged(f"a table of {size} bytes where {TABLE_BYTES} are allowed")
        self.changed = True
        self._limit = size
        self._evict()

    def _evict(self) -> None:
        while self._table_bytes > self._limit:
            name, value = self._table.pop()
            self._table_bytes -= len(name) + len(value) + FIELD_OVERHEAD


class HeadReader(Generic[Head]):
    """Reads the requests' heads of one connection, each block that says the same only once.

    A gRPC client sends nearly every call's head as the same few indices. What they mean depends on
    the table alone: so a head is known by its block for as long as no block changes the table.
    """

    def __init__(self, max_list_bytes: int, parse: Callable[[list[Field]], Head]) -> None:
        self._reader = HeaderReader(max_list_bytes)
        self._parse = parse
        self._known: dict[bytes, Head] = {}

    def read(self, block: bytes) -> Head:
        """The head of a request.

        Raises:
            ConnectionFault, StreamFault: as of `HeaderReader.read`, and of the parser.
        """
        head = self._known.get(block)
        if head is None:
            head = self._parse(self.fields(block))
            if not self._reader.changed:
                self._known[block] = head
        return head

    def fields(self, block: bytes) -> list[Field]:
        """The fields of any block: trailers too, and blocks of streams that are over."""
        try:
            return self._reader.read(block)
        finally:
            if self._reader.changed or len(self._known) >= _MAX_KNOWN:
                self._known.clear()


def block_of(fields: list[Field]) -> bytes:
    """A header block of literals, for which no table is needed on either side (6.2.2)."""
    parts: list[bytes] = []
    for name, value in fields:
        parts += (b"\0", _length(len(name)), name, _length(len(value)), value)
    return b"".join(parts)


def _length(size: int) -> bytes:
    """An integer of a 7-bit prefix (5.1)."""
    if size < 0x7F:
        return bytes((size,))
    size -= 0x7F
    out = bytearray((0x7F,))
    while size >= 0x80:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)


def _integer(block: bytes, position: int, mask: int) -> tuple[int, int]:
    """An integer whose prefix has the bits of `mask` (5.1), and where it ends."""
    value = block[position] & mask
    position += 1
    if value != mask:
        return value, position
    shift = 0
    while True:
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > _MAX_INTEGER_SHIFT:
            raise _damaged("an integer is too long")


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    """A string, Huffman-coded or not (5.2), and where it ends."""
    coded = block[position] & 0x80
    size, position = _integer(block, position, 0x7F)
    end = position + size
    if end > len(block):
        raise _damaged("a string ends behind its block")
    text = block[position:end]
    return (decode_huffman(text) if coded else text), end


def _damaged(reason: str) -> ConnectionFault:
    return ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"header block: {reason}")
