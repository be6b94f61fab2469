"""What stands between KEDA and Prometheus while record.py runs: values to scrape, queries noted."""

import http.client
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler
from typing import Any

LOST = "lost"
"""A phase in which the scenario's Prometheus does not answer; every other word: no sample."""

Tree = dict[str, Any]


class Recorder:
    """Values for Prometheus to scrape, a proxy for KEDA's queries, and notes of everything."""

    def __init__(self, scenarios: list[Tree], prometheus_port: int) -> None:
        self.scenarios = {scenario["name"]: scenario for scenario in scenarios}
        self.prometheus_port = prometheus_port
        self.started = time.time()
        self.notes: list[Tree] = []
        self.lock = threading.Lock()

    def now(self) -> float:
        """Seconds since the start."""
        return time.time() - self.started

    def note(self, kind: str, name: str, **fields: Any) -> None:
        """Remember something."""
        with self.lock:
            self.notes.append({"at": round(self.now(), 3), "kind": kind, "of": name, **fields})

    def value(self, name: str) -> float | str:
        """The scenario's value now: its last phase that has begun."""
        begun = [value for at, value in self.scenarios[name]["phases"] if at <= self.now()]
        found: float | str = begun[-1]
        return found

    def metrics(self) -> str:
        """What Prometheus scrapes."""
        values = [(name, self.value(name)) for name in self.scenarios]
        return "".join(
            f'demand{{scenario="{name}"}} {value}\n'
            for name, value in values
            if not isinstance(value, str)
        )

    def answer(self, name: str, path: str) -> tuple[int, bytes]:
        """Hand a query on to Prometheus, and note it."""
        lost = self.value(name.removesuffix("-lost")) == LOST or name.endswith("-lost")
        name = name.removesuffix("-lost")
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query).get("query", [""])[0]
        if lost:
            self.note("query", name, query=query, error="no answer")
            return 0, b""
        connection = http.client.HTTPConnection("127.0.0.1", self.prometheus_port, timeout=5)
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        result = json.loads(body).get("data", {}).get("result", [])
        self.note("query", name, query=query, samples=[one["value"][1] for one in result])
        return response.status, body


def handler(recorder: Recorder) -> type[BaseHTTPRequestHandler]:
    """Serve /metrics, and /SCENARIO/api/v1/query."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = 200, b""
            if self.path == "/metrics":
                body = recorder.metrics().encode()
            else:
                _, name, rest = self.path.split("/", 2)
                status, body = recorder.answer(name, f"/{rest}")
            if not status:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(status)
            self.send_header(
                "Content-Type", "application/json" if body[:1] == b"{" else "text/plain"
            )
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    return Handler
