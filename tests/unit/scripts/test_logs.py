from pathlib import Path

import pytest

from scripts.verbs.platform.logs import Follower

POD = "iris-predictor-0123456789-abcde.log"


def printed(follower: Follower, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What one look at the files prints."""
    follower.print_new()
    return capsys.readouterr().out.splitlines()


def test_only_the_models_pods(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model whose name starts with another one's is another model."""
    (tmp_path / POD).write_text("mine\n", "utf-8")
    (tmp_path / POD.replace("iris", "iris-large")).write_text("other\n", "utf-8")
    (tmp_path / "supervisor.log").write_text("platform\n", "utf-8")

    assert printed(Follower(tmp_path, "iris", -1), capsys) == ["mine"]
    assert len(printed(Follower(tmp_path, None, -1), capsys)) == 3


def test_following_prints_whole_lines_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last lines first, then what is added; half a line waits for its end; rotation is seen."""
    log = tmp_path / POD
    log.write_text("a\nb\nhal", "utf-8")
    follower = Follower(tmp_path, "iris", 1)

    assert printed(follower, capsys) == ["b"]
    with log.open("a", encoding="utf-8") as writer:
        writer.write("f\n")
    assert printed(follower, capsys) == ["half"]
    log.write_text("new\n", "utf-8")
    assert printed(follower, capsys) == ["new"]
    assert printed(follower, capsys) == []
