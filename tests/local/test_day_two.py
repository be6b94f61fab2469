"""What people do on the second day, on a real platform: what they chose stays theirs."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.kubectl import Kubectl
from tests.support.platform import ROOT, Platform, wait_for


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """Two versions of iris; the second serves, by a patch."""
    made = Platform(tmp_path / "state")
    made.home.mkdir()
    made.serin("up", "iris")
    yield made
    made.serin("down")
    assert made.leftovers() == []


def train(platform: Platform, seed: int) -> str:
    """Publish another version of iris; its name."""
    printed = platform.serin("train", "iris", "--seed", str(seed)).stdout
    return printed.splitlines()[-1].rpartition("/")[2]


def serving(platform: Platform) -> str:
    """The version that answers."""
    return str(platform.infer()[1]["model_version"])


def kill_everything(platform: Platform) -> None:
    """What a power cut leaves: nothing."""
    for process in platform.processes():
        with contextlib.suppress(psutil.NoSuchProcess):  # the kernel was first
            process.kill()
    wait_for(lambda: not platform.processes(), 10, "the end of all processes")


@pytest.mark.timeout(300)  # two trainings, three rollouts and two starts
def test_what_was_rolled_back_stays_so(platform: Platform) -> None:
    """Through a canary, a rollback, `kubectl apply`, a crash and `up`; `up --newest` moves on."""
    kubectl = Kubectl(platform)
    first = serving(platform)
    second = train(platform, 7)

    told = platform.serin("up", "iris").stderr
    assert f"iris serves {first}; {second} is newer: ./serin up --newest iris" in told
    assert serving(platform) == first

    platform.serin("up", "--newest", "iris")
    assert serving(platform) == second

    rolled = platform.serin("rollback", "iris")
    assert rolled.stdout == f"iris serves {first}.\n"
    assert serving(platform) == first

    kubectl.run("apply", "-k", ROOT / "kserve")
    assert kubectl.out("diff", "-k", ROOT / "kserve") == ""
    kill_everything(platform)
    platform.serin("up", "iris")
    assert serving(platform) == first
