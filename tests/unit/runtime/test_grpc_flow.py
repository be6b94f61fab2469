"""Flow control both ways (RFC 9113, 5.2), and calls of many messages, with `h2` as the client."""

import asyncio
import random

import h2.settings

from predictors.runtime.grpc.streaming_call import StreamingCall
from predictors.runtime.http2.limits import STREAM_WINDOW
from tests.support.http2 import HEADERS, Client, Server, framed, run, settle

OK, DEADLINE = 0, 4


def handler(server: Server, stream: int) -> asyncio.Task[None]:
    """The task that serves a stream."""
    call = server.protocol.streams[stream]
    assert isinstance(call, StreamingCall)
    return call._task


def test_answer_larger_than_the_clients_windows_waits_for_them() -> None:
    """Not a byte more than allowed; it goes on when the windows do, whichever was the tighter."""

    async def scenario() -> None:
        client = Client(Server())
        stream = client.call("/t/Big", b"300000", end=False)
        client.h2.end_stream(stream)
        client.exchange(acknowledge=False)
        assert len(client.answer(stream)[1]) == 65_535
        client.h2.increment_flow_control_window(1_000, stream)  # the connection's is at its end
        client.exchange(acknowledge=False)
        assert len(client.answer(stream)[1]) == 65_535
        client.h2.increment_flow_control_window(1_000_000)
        client.exchange(acknowledge=False)
        assert len(client.answer(stream)[1]) == 66_535
        client.h2.increment_flow_control_window(1_000_000, stream)
        client.exchange(acknowledge=False)
        _, body, trailers = client.answer(stream)

        assert body == framed(bytes(300_000))
        assert trailers == {b"grpc-status": b"0"}

    run(scenario)


def test_window_that_shrinks_below_zero_is_waited_out() -> None:
    """RFC 9113, 6.9.2: SETTINGS may take back what was allowed."""

    async def scenario() -> None:
        client = Client(Server())
        server = client.server
        stream = client.h2.get_next_available_stream_id()
        client.h2.send_headers(stream, [(n, b"/t/Big" if n == b":path" else v) for n, v in HEADERS])
        client.h2.send_data(stream, framed(b"100000"), end_stream=True)
        client.exchange(acknowledge=False)
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10})
        client.exchange(acknowledge=False)
        assert server.protocol.streams[stream].sendable == 10 - 65_535
        client.h2.increment_flow_control_window(200_000)
        client.h2.increment_flow_control_window(200_000, stream)
        client.exchange(acknowledge=False)

        assert client.answer(stream)[1] == framed(bytes(100_000))

    run(scenario)


def test_long_answer_holds_up_no_short_one() -> None:
    """Frames of several answers take turns in the connection's window."""

    async def scenario() -> None:
        client = Client(Server())
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
        client.exchange()
        server = client.server
        server.protocol.sendable = 0
        long = client.call("/t/Big", b"900000")
        short = client.call("/t/Big", b"20000")
        client.h2.increment_flow_control_window(65_536)
        client.exchange(acknowledge=False)

        assert client.answer(short)[2] == {b"grpc-status": b"0"}
        assert len(client.answer(long)[1]) < 65_536

    run(scenario)


def test_message_larger_than_our_windows_is_let_in() -> None:
    """Window updates come as it is read; nothing is held once it is answered."""

    async def scenario() -> None:
        server = Server()
        server.limits.max_receive_bytes = 40 << 20
        client = Client(server)
        message = random.Random(1).randbytes(STREAM_WINDOW * 5 // 4)
        stream = client.call("/t/Once", message, end=False)
        client.h2.end_stream(stream)
        client.exchange()
        await settle()
        client.exchange()

        assert client.answer(stream)[1] == framed(message)
        assert server.budget.held == 0

    run(scenario)


def test_streams_both_ways_message_by_message() -> None:
    """A handler answers each message while the client still sends, and ends when it does."""

    async def scenario() -> None:
        client = Client(Server())
        stream = client.call("/t/Each", b"one", end=False)
        for word in (b"two", b"three"):
            await settle()
            client.exchange()
            assert not client.answer(stream)[2]
            client.send(stream, word, end=word == b"three")
        await settle()
        client.exchange()

        assert client.answer(stream)[1] == framed(b"one") + framed(b"two") + framed(b"three")
        assert client.status(stream)[0] == OK

    run(scenario)


def test_handler_that_is_ahead_of_its_client_waits_for_it() -> None:
    """What is unsent is bounded; the handler goes on when the client reads on."""

    async def scenario() -> None:
        client = Client(Server())
        stream = client.call("/t/Each", *[bytes(30_000)] * 9, end=False)
        await settle()
        client.exchange(acknowledge=False)
        await settle()
        assert client.server.protocol.streams[stream].unsent_bytes < 100_000
        client.h2.increment_flow_control_window(1 << 20)
        client.h2.increment_flow_control_window(1 << 20, stream)
        for _ in range(9):
            client.exchange(acknowledge=False)
            await settle()

        assert len(client.answer(stream)[1]) == 9 * 30_005

    run(scenario)


def test_handler_that_is_behind_holds_its_client_back() -> None:
    """A stream's window is not opened again before what came is read."""

    async def scenario() -> None:
        client = Client(Server())
        stream = client.call("/t/Never", end=False)
        sent = 0
        while client.h2.local_flow_control_window(stream) >= 16_005:
            client.send(stream, bytes(16_000), end=False)
            sent += 16_000
            assert sent < 4 * STREAM_WINDOW

        assert sent > STREAM_WINDOW // 2

    run(scenario)


def test_client_that_overruns_a_window_loses_the_stream() -> None:
    """FLOW_CONTROL_ERROR once more came than was allowed; the connection goes on."""

    async def scenario() -> None:
        server = Server()
        client = Client(server)
        stream = client.call("/t/Never", end=False)
        frame = (16_384).to_bytes(3) + b"\0\0" + stream.to_bytes(4)
        prefix = framed(bytes(16_379))
        for _ in range(3 * STREAM_WINDOW // 16_384):
            server.give(frame + prefix)
            if stream not in server.protocol.streams:
                break
        last = server.frames()[-1]

        assert (last.stream_id, last.error_code) == (stream, 3)
        assert not server.wire.closed

    run(scenario)


def test_deadline_ends_a_streaming_call() -> None:
    """DEADLINE_EXCEEDED once the time is over, whatever the handler waits for."""

    async def scenario() -> None:
        server = Server()
        client = Client(server)
        stream = client.call("/t/Each", b"", end=False, grpc_timeout="1m")
        task = handler(server, stream)
        await task
        client.exchange()

        assert client.status(stream)[0] == DEADLINE

    run(scenario)


def test_client_that_leaves_cancels_the_handler() -> None:
    """So that nothing computes for nobody."""

    async def scenario() -> None:
        server = Server()
        client = Client(server)
        stream = client.call("/t/Each", b"", end=False)
        task = handler(server, stream)
        await settle()
        client.h2.reset_stream(stream)
        client.exchange()
        await settle()

        assert task.cancelled()

    run(scenario)
