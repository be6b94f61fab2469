"""Outputs here are what wrk 4.1.0 and h2load 1.52.0 printed."""

import pytest

from scripts.benchmark.errors import LoadError
from scripts.benchmark.traffic import h2load, wrk
from scripts.benchmark.traffic.load import Load, generate, require

WRK = """\
Running 1s test @ http://127.0.0.1:19123/x
  1 threads and 2 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   686.83us    1.22ms   9.18ms   86.26%
    Req/Sec    11.30k     5.83k   18.86k    60.00%
  Latency Distribution
     50%  104.00us
     75%  617.00us
     90%    2.47ms
     99%    5.52ms
  11214 requests in 1.00s, 1.40MB read
Requests/sec:  11166.42
Transfer/sec:      1.40MB
"""
FINE = (
    'serin {"requests":11214,"duration_us":1004261,"p50_us":104,"p99_us":5516,"errors":'
    '{"connect":0,"read":0,"write":0,"timeout":0,"status":0}}\n'
)
REFUSED = (
    'serin {"requests":15800,"duration_us":1099651,"p50_us":91,"p99_us":4098,"errors":'
    '{"connect":0,"read":0,"write":0,"timeout":0,"status":15800}}\n'
)
CLOSED = (
    'serin {"requests":0,"duration_us":1003575,"p50_us":0,"p99_us":0,"errors":'
    '{"connect":0,"read":10603,"write":0,"timeout":0,"status":0}}\n'
)


def h2load_output(counts: str, codes: str, traffic: str) -> str:
    return f"""\
starting benchmark...
spawning thread #0: 8 total client(s). Timing-based test with 0s of warm-up time and 1s of main \
duration for measurements.
Warm-up started for thread #0.
progress: 100% of clients started
Application protocol: h2c
Stopped all clients for thread #0

finished in 1.00s, 1067.00 req/s, 176.74KB/s
requests: {counts}
status codes: {codes}
traffic: {traffic}
                     min         max         mean         sd        +/- sd
time for request:     1.03ms    164.75ms      7.44ms     13.94ms    98.50%
"""


ANSWERED = h2load_output(
    "1067 total, 1075 started, 1067 done, 1067 succeeded, 0 failed, 0 errored, 0 timeout",
    "1067 2xx, 0 3xx, 0 4xx, 0 5xx",
    "176.74KB (180986) total, 3.71KB (3801) headers (space savings 95.60%), 113.58KB (116303) data",
)
# A method that the server does not have: HTTP says 200, only grpc-status says what happened.
UNIMPLEMENTED = h2load_output(
    "3228 total, 3230 started, 3228 done, 3228 succeeded, 0 failed, 0 errored, 0 timeout",
    "3228 2xx, 0 3xx, 0 4xx, 0 5xx",
    "180.03KB (184349) total, 110.42KB (113070) headers (space savings 56.22%), 0B (0) data",
)
BAD_REQUEST = h2load_output(
    "3068 total, 3070 started, 3068 done, 0 succeeded, 3068 failed, 0 errored, 0 timeout",
    "0 2xx, 0 3xx, 3068 4xx, 0 5xx",
    "545.29KB (558376) total, 269.74KB (276210) headers (space savings 0.00%), "
    "143.86KB (147312) data",
)
NOBODY = h2load_output(
    "0 total, 0 started, 0 done, 0 succeeded, 0 failed, 0 errored, 0 timeout",
    "0 2xx, 0 3xx, 0 4xx, 0 5xx",
    "0B (0) total, 0B (0) headers (space savings 0.00%), 0B (0) data",
)
LOG = "1795261294568862\t200\t4035\n1795261294571232\t200\t1706\n1795261294572429\t200\t1034\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (FINE, Load(11214, 1.004261, 0.104, 5.516)),
        (REFUSED, Load(15800, 1.099651, 0.091, 4.098, {"status": 15800})),
        (CLOSED, Load(0, 1.003575, 0.0, 0.0, {"read": 10603})),
    ],
)
def test_wrk_is_read_by_the_line_of_our_script(line: str, expected: Load) -> None:
    """Counts, seconds, milliseconds, and of the errors those that occurred."""
    assert wrk.parse(WRK + line) == expected


@pytest.mark.parametrize("output", ["", WRK, WRK + FINE + FINE])
def test_wrk_without_one_line_of_figures_is_no_load(output: str) -> None:
    """The text that wrk itself prints is for people: it rounds, and its units change."""
    with pytest.raises(LoadError, match="gave no figures"):
        wrk.parse(output)


def test_a_rate_is_answers_over_the_time_that_the_load_took() -> None:
    """The duration is the measured one, not the one asked for."""
    assert wrk.parse(WRK + FINE).requests_per_second == pytest.approx(11166.42, abs=0.01)


def test_h2load_is_read_from_its_summary_and_its_log() -> None:
    """Counts come from the summary, percentiles from the log: h2load prints none."""
    expected = Load(1067, 1, 1.706, 4.035)

    assert h2load.parse(ANSWERED, LOG, 1, answer_bytes=104) == expected


@pytest.mark.parametrize(
    ("output", "answer_bytes", "errors"),
    [
        (UNIMPLEMENTED, 104, {"answer bytes": 3228 * 109}),
        (ANSWERED, 103, {"answer bytes": 1067}),
        (BAD_REQUEST, 104, {"failed": 3068, "answer bytes": 147312}),
    ],
)
def test_a_grpc_error_behind_http_200_is_an_error(
    output: str, answer_bytes: int, errors: dict[str, int]
) -> None:
    """Each answer must have the bytes of the one that was checked, and its five-byte prefix."""
    assert h2load.parse(output, LOG, 1, answer_bytes).errors == errors


@pytest.mark.parametrize(("output", "log"), [(NOBODY, ""), ("", LOG), (ANSWERED, "")])
def test_h2load_without_figures_is_no_load(output: str, log: str) -> None:
    """h2load ends with 0 although nobody listened."""
    with pytest.raises(LoadError, match="gave no figures"):
        h2load.parse(output, log, 1, answer_bytes=104)


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [
        (1, 50, 1),
        (1, 99, 1),
        (2, 50, 1),
        (3, 50, 2),
        (100, 99, 99),
        (101, 99, 100),
        (1000, 99, 990),
    ],
)
def test_a_percentile_is_the_nearest_rank(count: int, percent: float, expected: int) -> None:
    """Of 1…n the value at rank ⌈n·p/100⌉, one of the values and never between two."""
    assert h2load.percentile(list(range(1, count + 1)), percent) == expected


def test_a_missing_generator_is_named_with_its_package(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """h2load's package has another name than the program."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")

    with pytest.raises(
        Exception, match=r"wrk and h2load not found.*apt install wrk nghttp2-client"
    ):
        require(["wrk", "h2load"])

    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(Exception, match="brew install nghttp2"):
        require(["h2load"])


def test_a_generator_that_fails_is_no_load() -> None:
    """Its last words are told."""
    with pytest.raises(LoadError, match="sh ended with 3: unable to connect"):
        generate(["sh", "-c", "echo unable to connect >&2; exit 3"], 1)
