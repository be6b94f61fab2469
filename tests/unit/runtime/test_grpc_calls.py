"""gRPC over HTTP/2 as its specification has it, spoken by the `h2` package's client."""

import gzip
import random
import zlib
from collections.abc import Callable
from typing import Any

import h2.errors
import h2.events
import pytest

from tests.support.http2 import HEADERS, MAX_BYTES, Client, Server, framed, run

INVALID, EXHAUSTED, UNIMPLEMENTED = 3, 8, 12


def raw_call(client: Client, body: bytes, path: bytes = b"/t/Echo", **fields: str) -> int:
    """A call with a body as it is."""
    stream = client.h2.get_next_available_stream_id()
    more = [(k.replace("_", "-").encode(), v.encode()) for k, v in fields.items()]
    headers = [(n, path if n == b":path" else v) for n, v in HEADERS]
    client.h2.send_headers(stream, headers + more)
    client.h2.send_data(stream, body, end_stream=True)
    client.exchange()
    return stream


def test_answer_is_head_message_and_status() -> None:
    """200, application/grpc, one message, grpc-status 0."""

    async def scenario() -> None:
        client = Client(Server())
        head, body, trailers = client.answer(client.call("/t/Echo", b"hello"))

        assert head == {b":status": b"200", b"content-type": b"application/grpc"}
        assert body == framed(b"hello")
        assert trailers == {b"grpc-status": b"0"}

    run(scenario)


def test_ids_of_a_proxy_come_back() -> None:
    """x-request-id and traceparent, as over REST; other metadata, binary too, is passed over."""

    async def scenario() -> None:
        client = Client(Server())
        stream = client.call("/t/Echo", b"", x_request_id="r-1", traceparent="00-a", x_bin="AAE=")
        head, _, _ = client.answer(stream)

        assert (head[b"x-request-id"], head[b"traceparent"]) == (b"r-1", b"00-a")
        assert b"x-bin" not in head

    run(scenario)


def test_messages_may_come_in_any_pieces() -> None:
    """Prefix and message cut anywhere, over frames of any size."""

    async def scenario() -> None:
        rng = random.Random(5)
        client = Client(Server())
        for _ in range(50):
            message = rng.randbytes(rng.randrange(40))
            body = framed(message)
            stream = client.h2.get_next_available_stream_id()
            client.h2.send_headers(stream, HEADERS)
            while body:
                size = rng.randrange(1, len(body) + 1)
                part, body = body[:size], body[size:]
                client.h2.send_data(stream, part, end_stream=not body)
                client.exchange()

            assert client.answer(stream)[1] == framed(message)

    run(scenario)


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_compressed_messages_are_read(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    """As gzip and deflate where the message's flag says so; without the flag it is as it is."""

    async def scenario() -> None:
        client = Client(Server())
        squeezed = compress(b"plain" * 100)
        one = raw_call(client, framed(squeezed, 1), grpc_encoding=encoding)
        other = raw_call(client, framed(b"as it is"), grpc_encoding=encoding)

        assert client.answer(one)[1] == framed(b"plain" * 100)
        assert client.answer(other)[1] == framed(b"as it is")

    run(scenario)


BAD: dict[str, tuple[bytes, dict[str, Any], int]] = {
    "unknown compression": (framed(b"x", 1), {"grpc_encoding": "br"}, UNIMPLEMENTED),
    "compressed without saying how": (framed(b"x", 1), {}, UNIMPLEMENTED),
    "damaged compression": (framed(b"x", 1), {"grpc_encoding": "gzip"}, INVALID),
    "half a compressed message": (
        framed(gzip.compress(b"x" * 999)[:-9], 1),
        {"grpc_encoding": "gzip"},
        INVALID,
    ),
    "compression bomb": (
        framed(gzip.compress(bytes(MAX_BYTES + 1)), 1),
        {"grpc_encoding": "gzip"},
        EXHAUSTED,
    ),
    "message over the limit, by its prefix": (
        b"\0" + (MAX_BYTES + 1).to_bytes(4),
        {},
        EXHAUSTED,
    ),
    "body inside a prefix": (b"\0\0", {}, INVALID),
    "body inside a message": (framed(b"hello")[:-1], {}, INVALID),
    "no message": (b"", {}, UNIMPLEMENTED),
    "two messages": (framed(b"a") + framed(b"b"), {}, UNIMPLEMENTED),
    "another method": (framed(b""), {"path": b"/t/Other"}, UNIMPLEMENTED),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_call_has_its_status_and_a_message(case: str) -> None:
    """Trailers-only, over a connection that goes on, with nothing kept."""
    body, fields, status = BAD[case]

    async def scenario() -> None:
        client = Client(Server())
        stream = raw_call(client, body, **fields)
        code, message = client.status(stream)

        assert code == status
        assert message
        assert client.answer(client.call("/t/Echo", b"next"))[1] == framed(b"next")
        assert client.server.budget.held == 0
        assert not client.server.protocol.streams

    run(scenario)


def test_unimplemented_says_what_compression_is() -> None:
    """The compression document of gRPC: the server says which it takes."""

    async def scenario() -> None:
        client = Client(Server())
        stream = raw_call(client, framed(b"x", 1), grpc_encoding="br")

        assert client.answer(stream)[0][b"grpc-accept-encoding"] == b"identity, deflate, gzip"

    run(scenario)


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [(b"content-type", b"application/json", 415), (b":method", b"GET", 405)],
)
def test_what_is_no_grpc_call_is_refused_as_http(name: bytes, value: bytes, status: int) -> None:
    """415 for another content type, as the specification asks; 405 for another method."""

    async def scenario() -> None:
        client = Client(Server())
        client.h2.send_headers(1, [(n, v if n != name else value) for n, v in HEADERS])
        client.exchange()

        assert client.answer(1)[0][b":status"] == str(status).encode()

    run(scenario)


def test_error_text_is_percent_encoded() -> None:
    """grpc-message: ASCII stays, the rest and "%" go as UTF-8 in hex; long ones are cut."""

    async def scenario() -> None:
        server = Server()
        client = Client(server)
        first, second = client.call("/t/Later", b"1"), client.call("/t/Later", b"2")
        server.later.calls[0].fail("NOT_FOUND", "100% größe\nx \ud800")
        server.later.calls[1].fail("INTERNAL", "ü" * 10_000)
        client.exchange()

        assert client.status(first) == (5, "100%25 gr%C3%B6%C3%9Fe%0Ax ?")
        assert client.status(second) == (13, "%C3%BC" * 1_000)

    run(scenario)


def test_client_that_leaves_is_told_to_the_method_and_answered_no_more() -> None:
    """RST_STREAM, and the end of the connection."""

    async def scenario() -> None:
        server = Server()
        client = Client(server)
        first = client.call("/t/Later", b"1")
        client.call("/t/Later", b"2")
        client.h2.reset_stream(first, h2.errors.ErrorCodes.CANCEL)
        client.exchange()
        assert (server.later.left, [c.closed for c in server.later.calls]) == (1, [True, False])
        server.protocol.connection_lost(None)
        for call in server.later.calls:
            call.answer(b"late")

        assert server.later.left == 2
        assert not client.exchange()

    run(scenario)


def test_shutdown_lets_calls_finish_and_takes_no_more() -> None:
    """GOAWAY twice, with a ping between, as RFC 9113, 6.8, advises; then the connection closes."""

    async def scenario() -> None:
        server = Server()
        client = Client(server)
        client.call("/t/Later", b"in flight")
        server.protocol.drain()
        first = server.frames()
        assert [(f.type, getattr(f, "last_stream_id", None)) for f in first] == [
            (7, 2**31 - 1),
            (6, None),
        ]
        client.call("/t/Later", b"on its way")
        server.give(bytes.fromhex("000008060100000000") + first[1].opaque_data)
        last = server.frames()
        assert [(f.type, f.last_stream_id) for f in last] == [(7, 3)]
        assert not server.wire.closed
        for call in server.later.calls:
            call.answer(b"done")

        assert len(server.later.calls) == 2
        assert b"done" in server.take()
        assert server.wire.closed

    run(scenario)
