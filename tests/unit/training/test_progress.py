"""What a training says in a pod's log, and to a Pushgateway."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.support.threads import serving
from training.progress import Reporter


@pytest.fixture
def gateway() -> Iterator[HTTPServer]:
    """An address that keeps what is pushed to it in `pushed`: (path, body)."""

    class Keeper(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.pushed.append((self.path, body.decode()))  # type: ignore[attr-defined]  # ours
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Keeper)
    server.pushed = []  # type: ignore[attr-defined]  # ours
    with serving(server):
        yield server


def learn(steps: int) -> None:
    """A training of so many steps."""
    with Reporter("my-model").bar("learning", steps) as bar:
        for step in range(1, steps + 1):
            bar.reach(step, samples=8, loss=1 / step)


def test_steps_are_json_lines_at_most_twenty(capsys: pytest.CaptureFixture[str]) -> None:
    """Every one of few steps, every twentieth part of many; the last one always."""
    for steps, told in ((3, 3), (1000, 20)):
        learn(steps)
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
        last = json.loads(lines[-1])

        assert len(lines) == told
        assert (last["doing"], last["step"], last["steps"]) == ("learning", steps, steps)
        assert last["eta_seconds"] == 0
        assert last["loss"] == round(1 / steps, 4)
        assert last["samples_per_second"] > 0


def test_metrics_are_pushed_where_a_gateway_is_set(
    gateway: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under job training and the model's name, replacing what was there."""
    monkeypatch.setenv("PUSHGATEWAY_URL", f"http://127.0.0.1:{gateway.server_port}")
    learn(2)
    pushed: list[tuple[str, str]] = gateway.pushed  # type: ignore[attr-defined]  # the fixture's

    assert [path for path, _ in pushed] == ["/metrics/job/training/model/my-model"] * 2
    for line in ("training_step 2.0", "training_steps 2.0", "training_loss 0.5"):
        assert line in pushed[-1][1].splitlines()
    assert "training_eta_seconds 0.0" in pushed[-1][1]
    assert "training_samples_per_second " in pushed[-1][1]


def test_a_gateway_that_is_gone_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the training goes on."""
    monkeypatch.setenv("PUSHGATEWAY_URL", "http://127.0.0.1:1")
    learn(3)
    said = capsys.readouterr().err

    assert said.count("PUSHGATEWAY_URL http://127.0.0.1:1 takes no metrics") == 1
    assert '"step": 3' in said
