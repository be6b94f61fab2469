"""The first commands of a stranger, in a fresh clone, on a terminal."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.platform import Platform
from tests.support.terminal import Terminal, fresh_clone


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal in a fresh clone, in which nothing was trained; it is stopped at the end."""
    clone = fresh_clone(tmp_path / "clone")
    settings = {"SERIN_PORT": "0", "SERIN_S3_PORT": "0", "KUBECONFIG": ""}
    terminal = Terminal(clone, settings=settings)
    yield terminal
    terminal.serin("down")
    assert Platform(clone / ".serin").processes() == []


@pytest.mark.timeout(300)
def test_up_from_nothing_ends_ready_and_the_model_answers(stranger: Terminal) -> None:
    """Trained, published, served and asked, by the two commands that README begins with."""
    up = stranger.serin("up", "iris", seconds=200)
    asked = stranger.serin("infer", "iris", "5.1,3.5,1.4,0.2")
    status = stranger.serin("status")

    assert up.code == 0, up.text
    assert "Traceback" not in up.raw
    assert "Stop: ./serin down" in up.words
    assert "setosa" in asked.words
    assert (status.code, "Ready" in status.words) == (0, True)


@pytest.mark.timeout(300)
def test_ctrl_c_while_it_trains_leaves_nothing(stranger: Terminal) -> None:
    """It says that it stops what it started, and the next `up` begins anew."""
    running = stranger.begin("up", "iris")
    running.until("Training", 100)
    running.interrupt()
    shown = running.ended()

    assert shown.code == 130
    assert "Stopping what this command started" in shown.words
    assert "Traceback" not in shown.raw
    assert stranger.serin("status").words == "Nothing runs. Start with: ./serin up"


@pytest.mark.timeout(300)
def test_ctrl_c_in_a_second_up_takes_back_what_it_asked_for(stranger: Terminal) -> None:
    """A model that was being trained is no row of `status` for ever, and what serves goes on."""
    assert stranger.serin("up", "iris", seconds=200).code == 0
    running = stranger.begin("up", "mnist-forest")
    running.until("Training", 100)
    running.interrupt()
    shown = running.ended()
    status = stranger.serin("status")

    assert shown.code == 130
    assert "Taken back, because it has no version: mnist-forest. The rest goes on." in shown.words
    assert (status.code, "mnist-forest" in status.words) == (0, False), status.text
