"""`serin chat` on a terminal of 80x24, with a real predictor of the tiny model."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support import tiny_lm
from tests.support.predictor import Predictor, metric, running, wait_until
from tests.support.required import ROOT
from tests.support.terminal import Running, Terminal

LINE = " ".join(["the quick brown fox"] * 11)
"""100 tokens: of three such lines the model, which holds 256, has room for two at most."""


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """A predictor of the tiny model."""
    folder = tmp_path_factory.mktemp("lm")
    artifact = tiny_lm.write_artifact(folder / "artifact")
    with running("causal-lm", artifact, folder / "log") as predictor:
        yield predictor


def begun(lm: Predictor) -> Running:
    """A conversation that waits for its first line."""
    chat = Terminal(ROOT).begin("chat", "--host", f"http://127.0.0.1:{lm.http_port}")
    chat.until("> ")
    return chat


def test_a_conversation_goes_on_until_ctrl_d(lm: Predictor) -> None:
    """Past what the model has room for, too: the oldest is forgotten."""
    chat = begun(lm)
    for _ in range(3):
        before = metric(lm.metrics(), "predictor_requests_total", outcome="ok")
        chat.type(f"{LINE}\n")
        wait_until(
            lambda before=before: (
                metric(lm.metrics(), "predictor_requests_total", outcome="ok") > before
            ),
            60,
            "an answer",
        )
    chat.type("\x04")
    shown = chat.ended()

    assert shown.code == 0
    assert "Traceback" not in shown.text
    assert shown.lines[0] == "causal-lm. Ctrl-D ends."
    assert metric(lm.metrics(), "predictor_requests_total", outcome="invalid") > 0  # too long


def test_ctrl_c_ends_the_conversation(lm: Predictor) -> None:
    """While nothing is being answered; without a traceback, and nothing is left in flight."""
    chat = begun(lm)
    chat.interrupt()
    shown = chat.ended()

    assert shown.code == 0
    assert "Traceback" not in shown.text
    assert metric(lm.metrics(), "predictor_requests_in_flight") == 0


def test_a_model_that_does_not_chat_is_refused_before_the_first_line(lm: Predictor) -> None:
    """Nobody types a question that no model takes."""
    shown = Terminal(ROOT).serin("chat", "iris", "--host", f"http://127.0.0.1:{lm.http_port}")

    assert shown.code == 1
    assert "no model that chats" in shown.text
    assert "> " not in shown.text


def test_lines_of_stdin_are_asked_one_by_one(lm: Predictor) -> None:
    """Nothing but the answers on stdout; another model is an error in a sentence."""
    command = [sys.executable, "-m", "scripts.cli", "chat"]
    host = ["--host", f"http://127.0.0.1:{lm.http_port}", "--temperature", "0"]
    done = subprocess.run(
        [*command, *host],
        cwd=ROOT,
        input="the fox\n\nthe fox\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    other = subprocess.run(
        [*command, "iris", *host],
        cwd=ROOT,
        input="hello\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "> " not in done.stdout[:2]
    assert (other.returncode, "no model that chats" in other.stderr) == (1, True)
