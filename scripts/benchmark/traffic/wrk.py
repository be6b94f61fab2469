"""wrk: the load for REST, over connections that are kept alive.

Latencies are wrk's, which corrects them for coordinated omission; h2load's are as they were. So
percentiles of REST compare with those of REST only.
"""

import json
from pathlib import Path

from scripts.benchmark.errors import LoadError
from scripts.benchmark.traffic.load import Load, generate
from scripts.benchmark.traffic.transports import Request

SCRIPT = Path(__file__).with_name("post.lua")
MARK = "serin "  # starts the line that post.lua writes


def run(port: int, request: Request, connections: int, seconds: int, folder: Path) -> Load:
    """Load one URL from one thread; `folder` takes the body's file."""
    body = folder / "wrk.body"
    body.write_bytes(request.body)
    headers = [word for header in request.headers.items() for word in header]
    command = [
        *("wrk", "--threads", "1", "--connections", str(connections), "--latency"),
        *("--duration", f"{seconds}s", "--timeout", "30s", "--script", str(SCRIPT)),
        *(f"http://127.0.0.1:{port}{request.path}", "--", str(body), *headers),
    ]
    return parse(generate(command, seconds))


def parse(output: str) -> Load:
    """What post.lua wrote at the end of wrk's output.

    Raises:
        LoadError: it wrote nothing.
    """
    lines = [line for line in output.splitlines() if line.startswith(MARK)]
    if len(lines) != 1:
        raise LoadError(f"wrk gave no figures: {output[-200:]!r}")
    told = json.loads(lines[0].removeprefix(MARK))
    return Load(
        requests=told["requests"],
        seconds=told["duration_us"] / 1e6,
        p50_ms=told["p50_us"] / 1e3,
        p99_ms=told["p99_us"] / 1e3,
        errors={kind: count for kind, count in told["errors"].items() if count},
    )
