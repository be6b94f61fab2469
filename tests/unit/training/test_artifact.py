"""Where an artifact goes, and what identifies the code that made it."""

import shutil
from pathlib import Path

import pytest

from training.publish.artifact import Destination, OutputError, code_identity
from training.publish.registry import SettingsError


def _deliver(output: Path, word: str) -> str:
    destination = Destination("toy", output)
    with destination.folder() as folder:
        (folder / "MANIFEST.json").write_text(word)
        return destination.deliver(folder)


def test_output_becomes_the_artifact_and_nothing_else_remains(tmp_path: Path) -> None:
    """Missing parents are made, and no temporary folder is left beside it."""
    output = tmp_path / "deep" / "toy"

    assert _deliver(output, "one") == str(output)
    assert [path.name for path in output.iterdir()] == ["MANIFEST.json"]
    assert list(output.parent.iterdir()) == [output]


def test_an_older_artifact_is_replaced_whole(tmp_path: Path) -> None:
    """No file of the older one stays behind."""
    output = tmp_path / "toy"
    _deliver(output, "one")
    (output / "old.onnx").touch()

    _deliver(output, "two")

    assert [path.name for path in output.iterdir()] == ["MANIFEST.json"]
    assert (output / "MANIFEST.json").read_text() == "two"


def test_an_empty_folder_may_be_the_output(tmp_path: Path) -> None:
    """As made by mktemp -d."""
    assert _deliver(tmp_path, "one") == str(tmp_path)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_not_ours_is_not_replaced(tmp_path: Path, kind: str) -> None:
    """A home folder given by mistake survives, and the script says so before it trains."""
    output = tmp_path / "home"
    if kind == "folder":
        output.mkdir()
        (output / "letters.txt").touch()
    else:
        output.touch()

    with pytest.raises(OutputError, match="is no artifact: name another"):
        Destination("toy", output)
    assert output.exists()


def test_a_failed_training_leaves_nothing_and_the_older_artifact_alone(tmp_path: Path) -> None:
    """An exception on the way removes the temporary folder only."""
    output = tmp_path / "toy"
    _deliver(output, "one")

    destination = Destination("toy", output)

    def fail() -> None:
        with destination.folder() as folder:
            (folder / "half").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert list(tmp_path.iterdir()) == [output]
    assert (output / "MANIFEST.json").read_text() == "one"


def test_without_output_or_store_nothing_is_trained() -> None:
    """The missing setting is named at once."""
    with pytest.raises(SettingsError, match="SERIN_S3_ENDPOINT is not set"):
        Destination("toy", None)


def test_code_identity_depends_on_sources_and_not_on_where_they_are(tmp_path: Path) -> None:
    """Another checkout has the same identity, another character has not."""
    here, there = tmp_path / "a" / "training", tmp_path / "b" / "training"
    here.mkdir(parents=True)
    (here / "toy.py").write_text("x = 1\n")
    shutil.copytree(here, there)
    first = code_identity(str(here / "toy.py"))

    assert first == code_identity(str(there / "toy.py"))

    (there / "toy.py").write_text("x = 2\n")

    assert first["sha256"] != code_identity(str(there / "toy.py"))["sha256"]
    assert first["sources"] == ["training/toy.py"]
