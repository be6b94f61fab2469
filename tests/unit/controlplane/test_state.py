import json
import os
from pathlib import Path

import pytest

from controlplane.errors import AlreadyRunning, SerinError
from controlplane.local import client
from controlplane.statefolder import Home, hold, read_json, running, write_json, write_text


def test_the_lock_says_who_runs(tmp_path: Path) -> None:
    """While one process holds the state folder a second one cannot; ended, nobody runs."""
    home = Home(tmp_path)

    assert running(home) is None
    handle = hold(home)
    assert running(home) == os.getpid()
    with pytest.raises(AlreadyRunning):
        hold(home, patience_seconds=0)
    os.close(handle)
    assert running(home) is None


def test_a_folder_of_another_layout_is_not_touched(tmp_path: Path) -> None:
    """The sentence says what is there, and what to do."""
    (tmp_path / "layout").write_text("0\n", "utf-8")

    with pytest.raises(SerinError, match=r"has layout '0' and this Serin writes '1'.*move"):
        Home(tmp_path).prepare()

    assert [path.name for path in tmp_path.iterdir()] == ["layout"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    """A full disk or a crash between two bytes must not cost the state."""
    target = tmp_path / "state.json"
    write_json(target, {"n": 1})

    with pytest.raises(UnicodeEncodeError):
        write_text(target, "\ud800")

    assert read_json(target) == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_an_unreadable_state_is_an_empty_one(tmp_path: Path, text: str) -> None:
    """A verb must not fall over a file that somebody cut short."""
    path = tmp_path / "state.json"
    path.write_text(text, "utf-8")

    assert read_json(path) == {}


def test_asking_for_one_model_leaves_the_others(tmp_path: Path) -> None:
    """`up iris` neither stops mnist-forest nor makes it look for a newer version."""
    home = Home(tmp_path)
    client.ask(home, ["iris", "mnist-forest"], 2)

    generation = client.ask(home, ["iris"], None)

    desired = json.loads(home.desired.read_text("utf-8"))
    assert generation == 2
    assert desired["models"] == {
        "iris": {"replicas": 2, "generation": 2, "newest": False},
        "mnist-forest": {"replicas": 2, "generation": 1, "newest": False},
    }
