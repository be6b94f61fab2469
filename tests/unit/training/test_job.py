"""What a training says of itself in its Job, and that nothing there can stop or slow it."""

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.threads import serving
from training.job import Job, Teller, described
from training.run import Run

WAIT_SECONDS = 30


class Api(ThreadingHTTPServer):
    """A Kubernetes API that keeps what is patched, and answers `status`; None: never."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status: int | None = 200
        self.patched: list[dict[str, str | None]] = []
        self.asked = threading.Event()
        self.closing = threading.Event()
        self.tokens: set[str | None] = set()
        self.paths: set[str] = set()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.crt"))
        (folder / "token").write_text("secret\n", "utf-8")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.environment = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.server_port),
            "SERVICE_ACCOUNT_FOLDER": str(folder),
            "JOB_NAME": "train-iris",
            "JOB_NAMESPACE": "models",
        }


class _Handler(BaseHTTPRequestHandler):
    def do_PATCH(self) -> None:
        api = self.server
        assert isinstance(api, Api)
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        api.tokens.add(self.headers["Authorization"])
        api.paths.add(self.path)
        if api.status == 200:
            api.patched.append(body["metadata"]["annotations"])
        api.asked.set()
        if api.status is None:
            api.closing.wait(WAIT_SECONDS)
            return
        self.send_response(api.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """One that answers."""
    server = Api(tmp_path)
    with serving(server):
        yield server
        server.closing.set()


def test_a_run_is_told_in_the_words_of_a_trainjob() -> None:
    """Progress and seconds left as whole numbers, metrics as a list of names and texts."""
    run = Run()
    run.step(30, 60, 12.4, {"loss": 0.25})
    run.gate("accuracy", 0.98, 0.9, passed=True)
    told = described(run)

    assert told["serin.dev/progressPercentage"] == "45"
    assert told["serin.dev/estimatedRemainingSeconds"] == "12"
    assert json.loads(told["serin.dev/metrics"] or "") == [{"name": "loss", "value": "0.25"}]
    assert json.loads(told["serin.dev/gates"] or "") == [
        {"name": "accuracy", "value": 0.98, "limit": 0.9, "passed": True}
    ]
    assert told["serin.dev/storageUri"] is None


def test_progress_never_goes_back_and_ends_at_a_hundred() -> None:
    """Through steps of several parts, the artifact and its publication."""
    run, seen = Run(), []
    for step in (1, 5, 10):
        run.step(step, 10, 1.0, {})
        seen.append(run.percent)
    run.step(1, 10, 1.0, {})
    seen.append(run.percent)
    run.made({"metrics": {"accuracy": 0.9, "smoke": True}, "data": {}, "code": {}})
    seen.append(run.percent)
    run.published("s3://models/iris/1")
    seen.append(run.percent)

    assert seen == sorted(seen)
    assert seen[-1] == 100
    assert run.remaining is None
    assert run.figures() == {"accuracy": 0.9}


def test_a_figure_that_is_no_number_is_no_metric() -> None:
    """JSON has no NaN, and a gate says it as a text."""
    run = Run()
    run.step(1, 2, None, {"loss": float("nan")})
    run.gate("accuracy", float("nan"), 0.9, passed=False)

    assert described(run)["serin.dev/metrics"] is None
    assert run.gates[0]["value"] == "nan"


def test_its_job_is_annotated_as_its_account(api: Api) -> None:
    """With the token, at the Job's own path, at the latest when it ends."""
    run, said = Run(), list[str]()
    teller = Teller(run, Job.of(api.environment), said.append)
    teller.start()
    run.step(1, 2, 3.0, {})
    run.published("s3://models/iris/1")
    teller.stop(WAIT_SECONDS)

    assert api.patched[-1]["serin.dev/progressPercentage"] == "100"
    assert api.patched[-1]["serin.dev/storageUri"] == "s3://models/iris/1"
    assert api.tokens == {"Bearer secret"}
    assert {path.partition("?")[0] for path in api.paths} == {
        "/apis/batch/v1/namespaces/models/jobs/train-iris"
    }
    assert said == []


def test_an_api_that_refuses_is_told_of_once(api: Api) -> None:
    """And the training goes on."""
    api.status = 403
    run, said, told = Run(), list[str](), threading.Event()

    def say(text: str) -> None:
        said.append(text)
        told.set()

    teller = Teller(run, Job.of(api.environment), say)
    teller.start()
    assert told.wait(WAIT_SECONDS)
    run.step(1, 2, 3.0, {})
    teller.stop(WAIT_SECONDS)

    assert len(said) == 1
    assert "the Kubernetes API takes no progress, going on without" in said[0]
    assert "403" in said[0]


def test_after_the_published_version_nothing_more_is_said(api: Api) -> None:
    """Its URI is the last line of the log, which others read."""
    api.status = 500
    run, said = Run(), list[str]()
    run.published("s3://models/iris/1")
    teller = Teller(run, Job.of(api.environment), said.append)
    teller.start()
    assert api.asked.wait(WAIT_SECONDS)
    teller.stop(WAIT_SECONDS)

    assert said == []


def test_an_api_that_never_answers_holds_nobody(api: Api) -> None:
    """The last word is waited for as long as was said, and left then."""
    api.status = None
    teller = Teller(Run(), Job.of(api.environment), lambda _: None)
    teller.start()
    assert api.asked.wait(WAIT_SECONDS)
    teller.stop(0.05)

    assert not api.closing.is_set()
    api.closing.set()
    teller.stop(WAIT_SECONDS)  # its last try ends before the API that it meets


def test_outside_of_a_job_nobody_is_told(tmp_path: Path) -> None:
    """Nor where the pod has no token."""
    environment = {
        "KUBERNETES_SERVICE_HOST": "::1",
        "KUBERNETES_SERVICE_PORT": "443",
        "JOB_NAME": "train-iris",
        "JOB_NAMESPACE": "models",
        "SERVICE_ACCOUNT_FOLDER": str(tmp_path),
    }
    assert Job.of({}) is None
    assert Job.of(environment) is None
    (tmp_path / "token").write_text("secret", "utf-8")
    job = Job.of(environment)
    assert job
    assert job.url.startswith("https://[::1]:443/apis/batch/v1/namespaces/models/jobs/train-iris")
    Teller(Run(), None, lambda _: None).stop(0)
