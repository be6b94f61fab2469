"""From docs/architecture.md alone to the file to change, in at most two hops.

The page names the file, or the room whose `__init__` names it.
"""

import ast
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from scripts.checks import rules
from scripts.checks.repository import ROOT, tracked

PAGE = (ROOT / "docs/architecture.md").read_text()
# A change, the words by which a person looks for it, and the file that it is made in. The kinds
# are CHANGELOG.md's; they were written down before the page's table was mended for them.
CHANGES = [
    (
        "a predictor's /metrics counts the rows of requests",
        ("metric", "predictor"),
        "predictors/runtime/observe/metrics.py",
    ),
    (
        "a JSON body may hold fewer values outside of its tensors",
        ("limit", "JSON bod"),
        "predictors/runtime/v2/outline.py",
    ),
    ("the console has a page of nodes", ("page", "console"), "controlplane/console/app.py"),
    (
        "another field of ScaledObjects is followed",
        ("field", "ScaledObject"),
        "controlplane/autoscale/parsing.py",
    ),
    ("`serin models list` takes a filter", ("verb", "option"), "scripts/verbs/serving/models.py"),
    (
        "a rollout aborts where answers get longer",
        ("rollout", "abort"),
        "controlplane/rollout/judging/judgement.py",
    ),
    ("a dashboard draws tokens a second", ("panel", "dashboard"), "scripts/boards/overview.py"),
    ("a model of sounds comes with Serin", ("another model",), "scripts/new_model/files.py"),
    ("an S3 store with a certificate of its own", ("S3 store",), "controlplane/store/s3.py"),
    ("an alert says that trainings fail", ("alert",), "monitoring/rules/alerts.rules.yaml"),
]


def rows(heading: str) -> list[tuple[str, str]]:
    """The two cells of each row of the table below a heading of the page."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| (.*?) \| (.*) \|$", section, re.MULTILINE)[1:]


def names(cell: str) -> list[str]:
    """Paths of a cell; <model> and its like stand for any name."""
    return [re.sub("<[a-z]+>", "*", path).rstrip("/") for path in re.findall("`([^` ]+)`", cell)]


def leads(name: str, path: str) -> bool:
    """Whether a person who read `name` on the page finds a file: it, or its room's __init__."""
    if fnmatchcase(path, name):
        return True
    door = ROOT / name / "__init__.py"
    if Path(path).parent != Path(name) or not door.exists():
        return False
    contents = ast.get_docstring(ast.parse(door.read_text())) or ""
    return re.search(rf"\b{Path(path).stem}\b", contents) is not None


@pytest.mark.parametrize(
    ("words", "path"), [pytest.param(*case[1:], id=case[0]) for case in CHANGES]
)
def test_a_change_is_found_in_two_hops(words: tuple[str, ...], path: str) -> None:
    """One row of the page has the change's words, and leads to the file that it is made in."""
    (cell,) = [
        cell for what, cell in rows("Where to change what") if all(word in what for word in words)
    ]

    assert (ROOT / path).is_file()
    assert [name for name in names(cell) if leads(name, path)]


def test_the_page_names_what_is_there() -> None:
    """Every path of the table of changes is in the repository."""
    paths = {str(path) for path in tracked()}
    folders = {str(parent) for path in tracked() for parent in path.parents}

    for what, cell in rows("Where to change what"):
        assert names(cell), what
        for name in names(cell):
            assert name in folders or any(fnmatchcase(path, name) for path in paths), what


def test_every_room_of_the_page_is_a_folder() -> None:
    """Every room of the table of rooms is there, or stands beside the row's first."""
    for cell, _ in rows("Rooms"):
        first, *others = names(cell)
        assert (ROOT / first).is_dir(), cell
        for name in others:
            assert (ROOT / name).is_dir() or (ROOT / first).with_name(name).is_dir(), cell


def test_every_room_names_its_modules() -> None:
    """A folder's __init__ says of each module and room in it what it is, programs aside."""
    assert list(rules.doors()) == []
