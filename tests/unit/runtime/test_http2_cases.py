"""The cases of h2spec, the field's list for HTTP/2 servers, by its sections and numbers.

Written anew as a table. Where RFC 9113 took back a rule of RFC 7540 that h2spec still asks for, the
case says what is done instead, and why.
"""

from collections import Counter
from collections.abc import Iterator

import pytest
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame

from predictors.runtime.http2.frames import PREFACE
from tests.support.http2 import MAX_STREAMS, Server, greeted, run
from tests.support.wire import raw
from tests.unit.runtime.h2spec_faults import GOAWAY, RESET, WINDOWS
from tests.unit.runtime.h2spec_requests import (
    ANSWERED,
    PONG,
    PONGED,
    C,
    call,
)
from tests.unit.runtime.test_http2_rules import (
    PING,
    SETTINGS,
    head,
    setting,
)

OWN = [  # each with a test of its own below
    *("generic 1/1", "http2 3.5/1", "http2 3.5/2", "http2 5.1.2/1", "http2 6.5.3/2"),
    "http2 6.7/2",
]


def cases() -> Iterator[str]:
    """The section and number of each case."""
    for table in (ANSWERED, PONG, GOAWAY, RESET, WINDOWS):
        yield from (" ".join(name.split(" ")[:2]) for name in table)
    yield from OWN


def test_the_table_is_whole() -> None:
    """Each case has one row; 44 generic, 8 of HPACK and 95 of HTTP/2."""
    found = list(cases())

    assert len(found) == len(set(found))
    assert Counter(name.split()[0] for name in found) == {"generic": 44, "hpack": 8, "http2": 95}


@pytest.mark.parametrize("case", ANSWERED)
def test_what_is_right_is_answered(case: str) -> None:
    """A head of an answer on the stream, and the connection stays."""

    async def scenario() -> None:
        server = greeted().give(ANSWERED[case])
        frames = server.frames()

        assert [one for one in frames if isinstance(one, HeadersFrame) and one.stream_id == 1]
        assert not server.wire.closed

    run(scenario)


@pytest.mark.parametrize("case", PONG)
def test_what_changes_nothing_is_taken(case: str) -> None:
    """The connection goes on: a PING behind it comes back, and a call is answered."""

    async def scenario() -> None:
        server = greeted().give(PONG[case])
        server.take()
        (pong,) = server.give(PONGED).frames()

        assert isinstance(pong, PingFrame)
        assert pong.opaque_data == b"for h2sp"
        if "GOAWAY" not in case:
            answered = server.give(call(9)).frames()
            assert any(isinstance(one, HeadersFrame) for one in answered)

    run(scenario)


@pytest.mark.parametrize("case", GOAWAY)
def test_what_breaks_the_connection_ends_it(case: str) -> None:
    """GOAWAY with the code, and the connection closes."""
    data, code = GOAWAY[case]

    async def scenario() -> None:
        server = greeted().give(data)
        last = server.frames()[-1]

        assert isinstance(last, GoAwayFrame)
        assert last.error_code == code
        assert server.wire.closed

    run(scenario)


@pytest.mark.parametrize("case", RESET)
def test_what_breaks_a_stream_resets_it(case: str) -> None:
    """RST_STREAM with the code; the connection goes on."""
    data, code = RESET[case]

    async def scenario() -> None:
        server = greeted().give(data)
        resets = [one for one in server.frames() if isinstance(one, RstStreamFrame)]

        assert [(one.stream_id, one.error_code) for one in resets] == [(1, code)]
        assert not server.wire.closed

    run(scenario)


@pytest.mark.parametrize("case", WINDOWS)
def test_a_window_is_kept(case: str) -> None:
    """One byte of the answer comes, the rest waits."""

    async def scenario() -> None:
        server = greeted().give(WINDOWS[case])
        sizes = [len(one.data) for one in server.frames() if isinstance(one, DataFrame)]

        assert sum(sizes) == (1 if "below 0" not in case else 4)
        assert not server.wire.closed

    run(scenario)


def test_a_preface_is_answered_by_settings() -> None:
    """Cases 1/1, 3.5/1 and 6.5.3/2: SETTINGS come first; the client's are acknowledged."""

    async def scenario() -> None:
        server = Server().give(PREFACE + setting(2, 0))
        first, *_, acknowledged = server.frames()

        assert (first.type, "ACK" in first.flags) == (SETTINGS, False)
        assert (acknowledged.type, "ACK" in acknowledged.flags) == (SETTINGS, True)

    run(scenario)


def test_a_wrong_preface_ends_the_connection() -> None:
    """Case 3.5/2: what is no HTTP/2 is told so, and let go."""

    async def scenario() -> None:
        server = Server().give(b"INVALID CONNECTION PREFACE\r\n\r\n")

        assert server.wire.closed

    run(scenario)


def test_more_streams_than_announced_are_refused() -> None:
    """Case 5.1.2/1: REFUSED_STREAM for the one too many."""

    async def scenario() -> None:
        streams = range(1, 2 * MAX_STREAMS + 2, 2)
        server = greeted().give(b"".join(map(head, streams)))
        resets = [one for one in server.frames() if isinstance(one, RstStreamFrame)]

        assert [one.error_code for one in resets] == [C.REFUSED_STREAM]

    run(scenario)


def test_an_answer_to_a_ping_is_not_answered() -> None:
    """Case 6.7/2: a PING with ACK gets nothing, the next one its own answer."""

    async def scenario() -> None:
        server = greeted().give(raw(PING, 1, 0, b"invalid!") + PONGED)
        (pong,) = server.frames()

        assert pong.opaque_data == b"for h2sp"

    run(scenario)
