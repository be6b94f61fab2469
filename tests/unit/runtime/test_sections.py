"""Which case holds which section of RFC 9113 (HTTP/2), 7541 (HPACK) and 9112 (HTTP/1.1).

Sections that ask nothing of a server that answers are left out: those for clients, proxies and
push, and 8.5 (CONNECT), which gRPC's paths do not have.
"""

import importlib
from collections.abc import Iterator

import pytest

from tests.unit.runtime.test_http2_cases import cases
from tests.unit.runtime.test_http2_rules import CONNECTION, STREAM
from tests.unit.runtime.test_rest_guard import DOUBTFUL, FORBIDDEN

NEWER = {  # h2spec's sections are RFC 7540's
    "3.5": "3.4",
    "5.3.1": "5.3.2",
    "8.1.2": "8.2.1",
    "8.1.2.1": "8.3",
    "8.1.2.2": "8.2.2",
    "8.1.2.3": "8.3.1",
    "8.1.2.6": "8.1.1",
    "8.2": "8.4",
}
CASES = {  # of the tables of test_http2_rules and test_rest_guard
    "RFC 9113 4.2": ("frame over the size", "HEADERS too short for a priority"),
    "RFC 9113 4.3": (
        *("HEADERS, then something else than CONTINUATION", "CONTINUATION of another stream"),
        "damaged header block",
    ),
    "RFC 9113 4.3.1": ("table larger than allowed",),
    "RFC 9113 5.1": (
        *("DATA on a stream that never began", "RST_STREAM of a stream that never began"),
        *("WINDOW_UPDATE of a stream that never began", "DATA on an even stream"),
        *("RST_STREAM of an even stream", "WINDOW_UPDATE of an even stream"),
    ),
    "RFC 9113 5.1.1": (
        *("HEADERS on an even stream", "HEADERS on an older stream"),
        "trailers of a number that was passed over",
    ),
    "RFC 9113 6.1": (*("DATA on stream 0", "DATA all padding", "padded DATA without a length"),),
    "RFC 9113 6.2": ("HEADERS on stream 0", "HEADERS all padding"),
    "RFC 9113 6.3": ("PRIORITY of the connection", "PRIORITY of four bytes"),
    "RFC 9113 6.4": ("RST_STREAM of three bytes", "RST_STREAM of the connection"),
    "RFC 9113 6.5": (
        *("SETTINGS on a stream", "SETTINGS of five bytes", "answer to SETTINGS with content"),
    ),
    "RFC 9113 6.5.2": (
        *("ENABLE_PUSH of 2", "INITIAL_WINDOW_SIZE of 2^31", "MAX_FRAME_SIZE below the default"),
        "header list over the limit",
    ),
    "RFC 9113 6.7": ("PING of seven bytes", "PING on a stream"),
    "RFC 9113 6.8": ("GOAWAY on a stream", "GOAWAY of seven bytes", "GOAWAY, then nonsense"),
    "RFC 9113 6.9": ("WINDOW_UPDATE of three bytes", "WINDOW_UPDATE by nothing"),
    "RFC 9113 6.9.1": ("window of the connection over 2^31", "window of a stream over 2^31"),
    "RFC 9113 6.9.2": ("initial window and a stream's own over 2^31",),
    "RFC 9113 6.10": ("CONTINUATION of nothing",),
    "RFC 9113 8.1": (
        *("trailers that end nothing", "pseudo-header in trailers", "upper case in trailers"),
        "connection-specific field in trailers",
    ),
    "RFC 9113 8.1.1": (
        *("two content-lengths that differ", "content-length of words"),
        *("less than content-length", "more than content-length"),
    ),
    "RFC 9113 8.2.1": (
        *("upper case in a name", "line break in a value", "NUL in a value", "empty name"),
        *("space before a value", "tab behind a value"),
    ),
    "RFC 9113 8.2.2": ("connection-specific field", "te that is not trailers"),
    "RFC 9113 8.3": ("pseudo-header behind the fields", "unknown pseudo-header"),
    "RFC 9113 8.3.1": ("no path", "empty path", "no method", "no scheme", "path twice"),
    "RFC 9113 8.4": ("PUSH_PROMISE",),
    "RFC 7541 2.3.3": ("index past the table",),
    "RFC 7541 4.2": ("size of the table behind a field",),
    "RFC 9112 2.3": ("HTTP/0.9", "version of words"),
    "RFC 9112 3": ("no version in the line", "space in the target"),
    "RFC 9112 3.2": ("no Host", "two Hosts"),
    "RFC 9112 5.1": ("space before a colon", "no name"),
    "RFC 9112 5.2": ("a line that goes on",),
    "RFC 9112 6.1": ("unknown coding", "coding in 1.0", "both lengths", "chunked is not last"),
    "RFC 9112 6.3": ("two lengths", "length of words", "negative length", "length with a sign"),
    "RFC 9112 7.1": ("size of words", "size past 2^64", "chunk longer than its size"),
}
TESTS = {  # what has a test of its own
    "RFC 9113 3.3": "http2_rules.test_what_is_not_http2_is_told_so",
    "RFC 9113 3.4": "http2_rules.test_first_frame_must_be_settings",
    "RFC 9113 5.2": "grpc_flow.test_client_that_overruns_a_window_loses_the_stream",
    "RFC 9113 5.4.2": "http2_rules.test_broken_stream_is_reset_and_the_connection_goes_on",
    "RFC 9113 6.9.3": "grpc_flow.test_window_that_shrinks_below_zero_is_waited_out",
    "RFC 9113 8.7": "http2_rules.test_streams_over_the_limit_are_refused_not_queued",
    "RFC 7541 4.4": "header_blocks.test_what_hpack_encodes_is_read_alike_whatever_the_table_did",
    "RFC 7541 5.1": "header_blocks.test_damaged_block_is_a_compression_error",
}
HTTP2 = (
    *("3.3", "3.4", "4.1", "4.2", "4.3", "4.3.1", "5.1", "5.1.1", "5.1.2", "5.2", "5.3.2"),
    *("5.4.1", "5.4.2", "5.5", "6.1", "6.2", "6.3", "6.4", "6.5", "6.5.2", "6.5.3", "6.7", "6.8"),
    *("6.9", "6.9.1", "6.9.2", "6.9.3", "6.10", "7", "8.1", "8.1.1", "8.2.1", "8.2.2", "8.3"),
    *("8.3.1", "8.4", "8.7"),
)
HPACK = ("2.3.3", "4.2", "4.4", "5.1", "5.2", "6.1", "6.3")
HTTP1 = ("2.3", "3", "3.2", "5.1", "5.2", "6.1", "6.3", "7.1")
SECTIONS = [
    *(f"RFC 9113 {section}" for section in HTTP2),
    *(f"RFC 7541 {section}" for section in HPACK),
    *(f"RFC 9112 {section}" for section in HTTP1),
]


def of_h2spec() -> Iterator[tuple[str, str]]:
    """The section of each of h2spec's cases that names one."""
    for case in cases():
        group, _, section = case.partition("/")[0].partition(" ")
        if group == "hpack":
            yield f"RFC 7541 {section}", case
        elif group == "http2":
            yield f"RFC 9113 {NEWER.get(section, section)}", case


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_has_a_case(section: str) -> None:
    """One of the tables, one of h2spec's, or a test of its own."""
    found = [case for other, case in of_h2spec() if other == section]

    assert [*found, *CASES.get(section, ()), *([TESTS[section]] if section in TESTS else [])]


def test_every_case_is_of_a_section() -> None:
    """No case of the tables is without one, and no section without a place in the list."""
    named = [case for group in CASES.values() for case in group]

    assert sorted({*named}) == sorted({*CONNECTION, *STREAM, *FORBIDDEN, *DOUBTFUL})
    assert {*CASES, *TESTS, *(section for section, _ in of_h2spec())} == {*SECTIONS}


@pytest.mark.parametrize("name", TESTS.values())
def test_what_a_section_names_is_there(name: str) -> None:
    """Under that name, in that module."""
    module, _, function = name.partition(".")

    assert callable(getattr(importlib.import_module(f"tests.unit.runtime.test_{module}"), function))
