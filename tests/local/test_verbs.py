"""`serin infer` and `serin test` as a shell sees them: what is printed where, and the exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.threads import serving

ROOT = Path(__file__).parents[2]
FLOWER = ["5.1", "3.5", "1.4", "0.2"]
METADATA = {
    "name": "iris",
    "inputs": [{"name": "input-0", "datatype": "FP32", "shape": [-1, 4]}],
    "outputs": [],
}


@pytest.fixture
def serin(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a verb in a state folder of its own, where nothing runs."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "scripts.cli", *arguments],
            cwd=ROOT,
            env={**os.environ, "SERIN_HOME": str(tmp_path / "home"), "KUBECONFIG": ""},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


@pytest.fixture
def gateway() -> Iterator[tuple[str, dict[str, tuple[int, str]]]]:
    """An HTTP server that answers what the test puts in its dictionary of paths."""
    answers: dict[str, tuple[int, str]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = answers[self.path]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}", answers


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    """What was said on stderr, which is all that was said, and is one sentence."""
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("Error: ").rstrip("\n")


@pytest.mark.parametrize("flags", [(), ("--grpc",)])
def test_where_nothing_listens_the_way_out_is_said(serin, flags: tuple[str, ...]) -> None:
    """A port that was just free is refused; so is the verb, with exit code 1."""
    done = serin("infer", "iris", *FLOWER, "--host", "127.0.0.1:1", *flags)

    assert done.returncode == 1
    assert only_line(done).startswith("nothing answers at http://127.0.0.1:1: ")
    assert "./serin up starts the platform" in done.stderr


@pytest.mark.parametrize(
    ("path", "status", "text", "exit_code", "sentence"),
    [
        ("", 404, "", 2, "no model iris at URL"),
        ("", 200, "<html>", 1, "URL speaks no V2: it answered '<html>'"),
        ("", 503, "no healthy upstream", 1, "iris answered 503: no healthy upstream"),
        ("/infer", 400, '{"error": "input-0: x"}', 2, "iris refuses: input-0: x"),
        ("/infer", 500, "", 1, "iris answered 500: Internal Server Error"),
    ],
)
def test_a_refusal_is_shown_as_it_was_given(
    serin, gateway, path: str, status: int, text: str, exit_code: int, sentence: str
) -> None:
    """The status and the server's own words, on one line."""
    url, answers = gateway
    answers["/v2/models/iris"] = (200, json.dumps(METADATA))
    answers[f"/v2/models/iris{path}"] = (status, text)

    done = serin("infer", "iris", *FLOWER, "--host", url)

    assert only_line(done) == sentence.replace("URL", url)
    assert done.returncode == exit_code


def test_a_gateway_that_says_nothing_is_left_after_the_timeout(serin) -> None:
    """The kernel accepts the connection, nobody reads it."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        done = serin("infer", "iris", *FLOWER, "--host", url, "--timeout", "0.3")

    assert only_line(done) == f"{url} gave no answer in 0.3 s"
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("body", "exit_code", "closing"),
    [
        ("def test_it(): pass", 0, "1 passed in"),
        ("def test_it(): assert False", 1, "1 failed in"),
        ("", 1, "no tests ran in"),
    ],
)
def test_pytest_has_the_last_word(
    serin, tmp_path: Path, body: str, exit_code: int, closing: str
) -> None:
    """Its options are passed on, its exit code and closing line are the verb's."""
    (tmp_path / "test_it.py").write_text(body)

    done = serin("test", tmp_path / "test_it.py", "-k", "it", "-p", "no:cacheprovider")

    assert done.returncode == exit_code, done.stdout
    assert closing in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("verb", ["check", "infer", "test"])
def test_help_is_there_and_shows_how_it_is_called(serin, verb: str) -> None:
    """`--help` prints to stdout and ends with 0."""
    done = serin(verb, "--help")

    assert done.returncode == 0
    assert f"Usage: serin {verb}" in done.stdout
    assert "\\b" not in done.stdout


def test_a_rollout_where_nothing_runs_says_how_to_begin(
    serin: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """`down` leaves the kubeconfig: that nobody answers there is no riddle."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "kubeconfig").write_text("{}", "utf-8")

    done = serin("rollout", "status", "iris")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: Nothing runs. Start with: ./serin up\n"
