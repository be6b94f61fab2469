"""h2load: the load for gRPC, one call at a time on each connection.

A gRPC call is an HTTP/2 POST whose body is a five-byte prefix and the message. h2load does not read
grpc-status, so an error would pass for a fast answer: that every answer has the size of the one
that was checked beforehand is asked instead.
"""

import re
import struct
from dataclasses import replace
from pathlib import Path

from scripts.benchmark.errors import LoadError
from scripts.benchmark.traffic.load import Load, generate
from scripts.benchmark.traffic.transports import Request

PREFIX_BYTES = 5  # one byte "not compressed", four bytes of length
COUNTS = re.compile(
    r"^finished in .*?\n"
    r"requests: \d+ total, \d+ started, (?P<done>\d+) done, \d+ succeeded, "
    r"(?P<failed>\d+) failed, (?P<errored>\d+) errored, (?P<timeout>\d+) timeout\n"
    r"status codes: (?P<ok>\d+) 2xx, .*\n"
    r"traffic: .*\((?P<data>\d+)\) data$",
    re.MULTILINE,
)


def run(
    port: int,
    request: Request,
    connections: int,
    seconds: int,
    folder: Path,
    answer_bytes: int,
) -> Load:
    """Load one gRPC method from one thread; `folder` takes the body's and the log's file."""
    body = struct.pack(">BI", 0, len(request.body)) + request.body
    output, log = call(port, replace(request, body=body), connections, seconds, folder)
    return parse(output, log, seconds, answer_bytes)


def call(
    port: int, request: Request, connections: int, seconds: int, folder: Path, *options: str
) -> tuple[str, str]:
    """h2load's output and its log of requests; one at a time on each connection."""
    body = folder / "h2load.body"
    body.write_bytes(request.body)
    log = folder / "h2load.log"
    log.unlink(missing_ok=True)  # h2load appends
    command = [
        *("h2load", "--threads", "1", "--clients", str(connections), "--duration", str(seconds)),
        *("--max-concurrent-streams", "1", "--data", str(body), "--log-file", str(log), *options),
        *(f"--header={name}: {value}" for name, value in request.headers.items()),
        f"http://127.0.0.1:{port}{request.path}",
    ]
    output = generate(command, seconds)
    return output, log.read_text()


def parse(output: str, log: str, seconds: float, answer_bytes: int) -> Load:
    """h2load's summary, and percentiles out of its log of requests.

    Raises:
        LoadError: no request was answered.
    """
    found = COUNTS.search(output)
    latencies = sorted(latency_us for _, latency_us in entries(log))
    if not found or not latencies:
        raise LoadError(f"h2load gave no figures: {output[-200:]!r}")
    counts = {name: int(value) for name, value in found.groupdict().items()}
    errors = {kind: counts[kind] for kind in ("failed", "errored", "timeout")}
    # How many bytes are missing or too many, which is not a count of calls but is 0 or is not.
    errors["answer bytes"] = abs(counts["data"] - counts["ok"] * (PREFIX_BYTES + answer_bytes))
    return Load(
        requests=counts["done"],
        seconds=seconds,
        p50_ms=percentile(latencies, 50) / 1e3,
        p99_ms=percentile(latencies, 99) / 1e3,
        errors={kind: count for kind, count in errors.items() if count},
    )


def entries(log: str) -> list[tuple[int, int]]:
    """HTTP status and microseconds of each request; h2load also logs when each was sent."""
    fields = (line.split("\t") for line in log.splitlines())
    return [(int(status), int(latency)) for _, status, latency in fields]


def percentile(ordered: list[int], percent: float) -> int:
    """The smallest value that `percent` of the values do not exceed (nearest rank)."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]
