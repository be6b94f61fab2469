"""The artifacts that tests share: trained once for all of them, and again after a change."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import trained

SCRIPT = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[-1])
folder.mkdir()
with open("runs", "a") as runs:
    runs.write(" ".join(sys.argv[1:-2]) + "\\n")
time.sleep(0.2)  # long enough for another to come meanwhile
(folder / "model").write_text("x")
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository of one training script that counts its runs."""
    trained.code_folder.cache_clear()
    for part in ("training", "predictors", "requirements"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "__init__.py").touch()  # or PYTHONPATH's package of that name is found
    (tmp_path / "training" / "toy.py").write_text(SCRIPT, "utf-8")
    monkeypatch.setattr(trained, "ROOT", tmp_path)
    monkeypatch.setattr(trained, "_STORE", tmp_path / "store")
    yield tmp_path
    trained.code_folder.cache_clear()


def runs(checkout: Path) -> list[str]:
    """The flags of each run so far."""
    return (checkout / "runs").read_text("utf-8").splitlines()


def test_what_several_ask_for_at_once_is_trained_once(checkout: Path) -> None:
    """All get the same whole folder; other flags are another artifact."""
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(trained.artifact, "toy") for _ in range(4)]
        folders = {each.result() for each in asked}
    other = trained.artifact("toy", "--seed=7")

    assert [(each / "model").read_text("utf-8") for each in (*folders, other)] == ["x", "x"]
    assert runs(checkout) == ["", "--seed=7"]


def test_changed_code_or_packages_train_again_and_old_states_go(checkout: Path) -> None:
    """The last states of the code are kept, so that going back trains nothing."""
    for path in ("predictors/toy.py", "requirements/base.txt", "training/lesson.py"):
        trained.code_folder.cache_clear()
        trained.artifact("toy")
        (checkout / path).write_text("# new", "utf-8")
    (checkout / path).unlink()
    trained.code_folder.cache_clear()
    trained.artifact("toy")
    assert len(runs(checkout)) == 3

    (checkout / path).write_text("# newer", "utf-8")
    trained.code_folder.cache_clear()
    trained.artifact("toy")
    assert len(runs(checkout)) == 4
    assert len(list((checkout / "store").iterdir())) == trained.KEPT
