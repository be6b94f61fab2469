"""`serin new model` in a copy of this checkout: what it writes is a model like the others."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.checks.repository import ROOT, tracked
from scripts.new_model import files
from tests.support.platform import Platform

CONTRACT = ("v2_rest", "v2_grpc", "v2_refusals", "v2_files", "manifests")
WINE = [
    *("13.2", "1.78", "2.14", "11.2", "100", "2.65", "2.76"),
    *(".26", "1.28", "4.38", "1.05", "3.4", "1050"),
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files of this checkout, in a repository of their own that shares its .venv."""
    folder = tmp_path / "checkout"
    for path in tracked():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path, follow_symlinks=False)
    (folder / ".venv").symlink_to(sys.prefix)
    if (ROOT / ".mypy_cache").is_dir():
        shutil.copytree(ROOT / ".mypy_cache", folder / ".mypy_cache")
    subprocess.run(["git", "init", "--quiet", folder], check=True, timeout=30)
    return folder


@pytest.fixture
def platform(checkout: Path, tmp_path: Path) -> Iterator[Platform]:
    """Verbs of the copy, in a state folder of their own."""
    made = Platform(tmp_path / "state", checkout)
    made.home.mkdir()
    yield made
    made.serin("down")


def run(checkout: Path, platform: Platform, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Python in the copy."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=checkout,
        env=platform.env,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.timeout(600)
def test_a_new_model_passes_the_checks_and_serves(checkout: Path, platform: Platform) -> None:
    """Untouched: the tools of `serin check` on its files, contract tests, training, serving."""
    passes(checkout, platform, "classifier")
    platform.serin("up", "my-demo")
    answer = json.loads(platform.serin("infer", "my-demo", *WINE, "--json").stdout)

    assert answer["model_name"] == "my-demo"
    assert answer["outputs"][0]["data"] == [0]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("like", files.LIKES[1:])
def test_a_model_of_each_kind_passes_the_checks(
    like: str, checkout: Path, platform: Platform
) -> None:
    """Numbers, texts and pictures: untouched, each is a model like the others."""
    passes(checkout, platform, like)


def passes(checkout: Path, platform: Platform, like: str) -> None:
    """Make a model; the tools of `serin check` and the contract tests find nothing in it."""
    platform.serin("new", "model", "my-demo", "--like", like)
    written = [str(path) for path in files.new("my-demo")]
    python = [path for path in written if path.endswith(".py")]
    tools = [
        ("ruff", "check", *python),
        ("ruff", "format", "--check", *python),
        ("mypy", *python),
        ("yamllint", "--strict", *(path for path in written if path.endswith(".yaml"))),
        ("codespell_lib", *written),
    ]
    checked = [run(checkout, platform, "-m", *tool) for tool in tools]
    contract = [f"tests/contract/test_{name}.py" for name in CONTRACT]
    tested = run(checkout, platform, "-m", "pytest", "-q", "-k", "my-demo or manifests", *contract)

    assert [done.returncode for done in checked] == [0] * len(tools), checked
    assert tested.returncode == 0, tested.stdout


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Fraud", "'Fraud' is no model's name: lower-case letters"),
        ("fraud_score", "'fraud_score' is no model's name"),
        ("9lives", "'9lives' is no model's name"),
        ("a" * 31, "at most 30"),
        ("runtime", "'runtime' is taken by the runtime"),
        ("iris", "predictors/iris.py exists"),
        ("script", "training/script.py exists"),
    ],
)
def test_a_name_that_cannot_be_is_refused_before_anything_is_written(
    name: str, sentence: str, tmp_path: Path
) -> None:
    """Exit 1, one sentence, and this checkout is as it was."""
    before = list(tracked())
    done = Platform(tmp_path).serin("new", "model", name, expect=1)

    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tracked()) == before


def test_manifests_are_those_of_the_example_with_another_name() -> None:
    """Comments stay in their column where the name leaves room, and nothing says iris."""
    made = files.new("my-demo") | files.changed("my-demo")
    listed = [line for text in files.changed("my-demo").values() for line in text.splitlines()]

    for path, text in files.new("my-demo").items():
        assert "iris" not in text.lower(), path
    assert listed.count("  - my-demo.yaml") == 4
    assert listed.count("  my-demo: untrained") == 2
    assert made["kserve/runtimes/my-demo.yaml"].count("predictors.my_demo") == 1
    old = (ROOT / "kserve" / "runtimes" / "iris.yaml").read_text().splitlines()
    new = made["kserve/runtimes/my-demo.yaml"].splitlines()
    assert [line.find("# overlays") for line in old] == [line.find("# overlays") for line in new]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("like", files.LIKES)
def test_a_new_model_is_removed_without_a_trace(
    like: str, checkout: Path, platform: Platform, tmp_path: Path
) -> None:
    """It trains as it begins; `remove model` leaves the files of before, byte for byte."""

    def contents() -> dict[str, bytes]:
        paths = [path for path in checkout.rglob("*.*") if path.is_file()]
        kept = {".venv", ".git", ".mypy_cache", "__pycache__"}
        return {str(path): path.read_bytes() for path in paths if not kept & set(path.parts)}

    before = contents()
    platform.serin("new", "model", "my-demo", "--like", like)
    made = contents().keys() - before.keys()
    trained = run(
        *(checkout, platform, "-m", "training.my_demo", "--smoke"), f"--output={tmp_path / 'out'}"
    )
    asked = platform.serin("remove", "model", "my-demo", expect=2)
    removed = platform.serin("remove", "model", "my-demo", "--yes")

    assert trained.returncode == 0, trained.stderr
    assert {str(checkout / path) for path in files.new("my-demo")} == made
    assert "predictors/my_demo.py" in asked.stderr
    assert "my-demo is gone." in removed.stderr
    assert contents() == before
