import os

import pytest
from click.testing import CliRunner

from controlplane import parts
from scripts.verbs.develop import test as verb

FOLDERS = ["tests/unit", "tests/contract", "tests/local"]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The arguments that pytest was given, run by run; nothing is run or installed."""
    seen: list[tuple[str, ...]] = []

    def run(*arguments: str) -> int:
        seen.append(arguments)
        return int("fails" in os.environ)

    monkeypatch.setattr(verb, "_pytest", run)
    monkeypatch.setattr(parts, "install", lambda _: None)
    return seen


def option(arguments: tuple[str, ...], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def test_everything_is_shared_out_but_what_measures(runs: list[tuple[str, ...]]) -> None:
    """Workers for most, then one process for the calm, then the cluster; each tells its seconds."""
    done = CliRunner().invoke(verb.command, [])
    shared, calm, cluster = runs

    assert done.exit_code == 0
    assert list(shared[:3]) == list(calm[:3]) == FOLDERS
    assert option(shared, "-m") == "not calm"
    assert int(option(shared, "-n")) >= 2
    assert option(calm, "-m") == "calm"
    assert "-n" not in calm
    assert (cluster[0], option(cluster, "-m")) == ("tests/cluster", "smoke")
    assert len({each for run in runs for each in run if each.startswith("--junitxml=")}) == 3


def test_a_failure_does_not_hide_the_calm_tests_and_leaves_the_cluster_alone(
    runs: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both parts of the run are told; the cluster's take minutes, and come after green."""
    monkeypatch.setenv("fails", "")
    done = CliRunner().invoke(verb.command, [])

    assert done.exit_code == 1
    assert [option(run, "-m") for run in runs] == ["not calm", "calm"]


@pytest.mark.parametrize("arguments", [["tests/unit", "-x"], ["-k", "digits"]])
def test_what_is_asked_for_is_run_as_pytest_does(
    runs: list[tuple[str, ...]], arguments: list[str]
) -> None:
    """One run, with what was given; the folders where none was."""
    CliRunner().invoke(verb.command, arguments)

    paths = [] if arguments[0].startswith("tests/") else FOLDERS
    assert runs == [(*arguments, *paths)]
