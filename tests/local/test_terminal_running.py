"""Verbs on a terminal while a platform runs: unknown and unready models, Ctrl-C, a resize."""

import re
from collections.abc import Callable

import pytest

from tests.support import required
from tests.support import trained as training
from tests.support.platform import Platform, wait_for
from tests.support.terminal import SIZES, Terminal

NO_MODEL = re.compile(
    r"Error: There is no model irs\. Did you mean iris\? There are: .*\biris\b.*\."
)
FLOWER = "5.1 3.5 1.4 0.2"
UNKNOWN = (
    "channel history irs",
    "channel rollback irs",
    "channel set irs 1f2e",
    "channel status irs",
    "chat irs",
    f"infer irs {FLOWER}",
    "load irs",
    "logs irs",
    "rollback irs",
    "rollout abort irs",
    "rollout history irs",
    "rollout pause irs",
    "rollout promote irs",
    "rollout resume irs",
    "rollout start irs 1f2e",
    "rollout status irs",
    "top irs --once",
    "up irs",
)
SHOWN = (
    (f"infer iris {FLOWER}", "100.0%"),
    (f"infer iris {FLOWER} --json", '"model_name": "iris"'),
    ("infer mnist-forest docs/seven.png", "%"),
    ("models", "accuracy"),
    ("status", "Ready"),
    ("logs iris", " iris "),
    ("rollout status iris", "iris had no rollout."),
    ("env", "export KUBECONFIG="),
)


def on(platform: Platform, size: tuple[int, int] = SIZES[0]) -> Terminal:
    """A terminal whose verbs use a platform."""
    settings = {"SERIN_HOME": str(platform.home), "SERIN_S3_PORT": "0", "KUBECONFIG": ""}
    return Terminal(columns=size[0], rows=size[1], settings=settings)


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
@pytest.mark.parametrize("line", UNKNOWN)
def test_an_unknown_model_is_misuse(trained: Platform, line: str, size: tuple[int, int]) -> None:
    """The same sentence and exit code from every verb, as where nothing runs."""
    shown = on(trained, size).serin(*line.split())

    assert shown.code == 2
    assert NO_MODEL.fullmatch(shown.words)


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x40"])
@pytest.mark.parametrize(("line", "said"), SHOWN)
def test_what_is_shown_fits_the_terminal(
    trained: Platform, line: str, said: str, size: tuple[int, int]
) -> None:
    """No line is broken within a word, and the numbers are there."""
    shown = on(trained, size).serin(*line.split())

    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.raw)
    assert shown.code == 0, shown.text
    assert said in shown.words
    for row in plain.replace("\r", "\n").split("\n"):
        assert len(row) <= size[0] or len(row.split()) <= 2, row


@pytest.mark.parametrize(
    "line",
    [f"infer nli {FLOWER}", "load nli", "rollback nli", "rollout status nli", "top nli --once"],
)
def test_a_model_that_was_not_started_says_how(fresh: Callable[..., Platform], line: str) -> None:
    """It is known, so it is no misuse: exit code 1."""
    shown = on(fresh("iris")).serin(*line.split())

    assert (shown.code, shown.words) == (
        1,
        "Error: nli does not run here. Start it with: ./serin up nli",
    )


def test_ctrl_c_in_a_watched_rollout_says_that_it_goes_on(fresh: Callable[..., Platform]) -> None:
    """And how to see it, and how to end it; then it is still under way."""
    required.binary("prometheus")
    platform = fresh("iris")
    other = platform.publish(training.artifact("iris", "--seed=7"))
    wait_for(lambda: platform.state().get("prometheus_url"), 60, "Prometheus")
    terminal = on(platform)
    running = terminal.begin("rollout", "start", "iris", other, "--step-seconds", "600", "--watch")
    running.until("Preparing")
    running.interrupt()
    shown = running.ended()

    assert shown.code == 130
    assert (
        "The rollout of iris goes on. See it: ./serin rollout status iris --watch "
        "End it: ./serin rollout abort iris"
    ) in shown.words
    assert terminal.serin("rollout", "abort", "iris").code == 0
    wait_for(lambda: not platform.engines(), 60, "the end of the rollout")


def test_ctrl_c_gives_a_loads_result(trained: Platform) -> None:
    """What was measured until then, and exit code 0."""
    running = on(trained).begin("load", "iris", "--rate", "20", "--duration", "60")
    running.until(r"version \w+")
    running.interrupt()
    shown = running.ended()

    assert shown.code == 0
    assert "answered, 0 failed" in shown.words


def test_top_follows_the_terminals_size(trained: Platform) -> None:
    """Pulled wider, it has the columns that there was no room for; Ctrl-C ends it."""
    required.binary("prometheus")
    running = on(trained).begin("top")
    running.until("iris")
    running.resize(120, 40)
    running.until("P50")
    running.interrupt()

    assert running.ended().code == 130
