"""The repository's own promises: what lies where, what is pinned, what documents say."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from scripts import cli
from scripts.checks import rules
from scripts.checks.repository import ROOT, tracked
from tests.support.documents import console_blocks

REQUIREMENTS = ROOT / "requirements"
PARTS = sorted(path.stem for path in REQUIREMENTS.glob("*.in"))
PEERS = ROOT / "scripts" / "benchmark" / "peers"
HASHED = [*sorted(REQUIREMENTS.glob("*.txt")), *sorted(PEERS.glob("*.txt"))]
VERBS = sorted(cli.modules())
DOCUMENTS = [path for path in tracked(".md") if path.name != "CHANGELOG.md"]
VARIABLE = re.compile(r"\b(?:PREDICTOR|SERIN)_[A-Z0-9_]*[A-Z0-9]\b")


def requested(part: str) -> Iterator[str]:
    """Packages that `part`.in asks for, those of the parts that it includes too."""
    for line in (REQUIREMENTS / f"{part}.in").read_text().splitlines():
        asked = line.split("#")[0].strip()
        if asked.startswith("-r "):
            yield from requested(asked.removeprefix("-r ").removesuffix(".in"))
        elif asked:
            yield canonical(asked)


def pinned(part: str) -> dict[str, str]:
    """Version of each package in `part`.txt."""
    lines = (REQUIREMENTS / f"{part}.txt").read_text().splitlines()
    requirements = [
        line.removesuffix(" \\").split(";")[0].strip() for line in lines if line[0] != " "
    ]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.+]+", line) for line in requirements), requirements
    return dict(line.split("==") for line in requirements)


def canonical(requirement: str) -> str:
    """https://packaging.python.org/en/latest/specifications/name-normalization/ ."""
    name = re.split(r"[\[=<>~!;\s]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("part", PARTS)
def test_what_is_asked_for_is_pinned(part: str) -> None:
    """Every line of an .in has its exact version in the .txt, which names no host and no path."""
    assert set(requested(part)) <= set(pinned(part))


@pytest.mark.parametrize("path", HASHED, ids=lambda path: path.stem)
def test_what_is_pinned_has_the_hashes_of_its_files(path: Path) -> None:
    """Every package of a .txt is followed by sha256 sums, without which pip installs nothing."""
    text = re.sub(r"\A(#.*\n)+", "", path.read_text())
    entry = r"[a-z0-9-]+==\S+( ; [^\\\n]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n"

    assert re.fullmatch(f"({entry})+", text)


def test_torch_without_cuda_is_the_same_version() -> None:
    """What is taken where pip finds it satisfies what the parts and the benchmark's peers pin."""
    assert pinned("torch-cpu") == {"torch": f"{pinned('torch')['torch']}+cpu"}
    assert f"torch=={pinned('torch')['torch']} " in (PEERS / "kserve.txt").read_text()


def test_pip_installs_only_what_has_a_hash() -> None:
    """The wrapper and every image ask for hashes, and for nothing beside the file's packages."""
    for path in [Path("serin"), *tracked("Dockerfile")]:
        text = (ROOT / path).read_text().replace("\\\n", " ")
        installs = re.findall(r"pip(?: --python \S+)? install ([^\n&;]*)", text)
        assert installs, path
        for options in installs:
            assert {"--require-hashes", "--no-deps"} <= set(options.split()), f"{path}: {options}"


def test_no_folder_is_a_hall() -> None:
    """A folder outside tests has at most 15 modules, counting its __init__."""
    assert list(rules.rooms()) == []


def test_parts_agree_on_versions() -> None:
    """A package has one version, whichever part brings it."""
    versions: dict[str, set[str]] = {}
    for part in PARTS:
        for package, version in pinned(part).items():
            versions.setdefault(package, set()).add(version)

    assert {package: found for package, found in versions.items() if len(found) > 1} == {}


def test_serving_parts_bring_no_torch() -> None:
    """`./serin up` with the default models stays a small installation."""
    assert {"torch", "transformers"}.isdisjoint(pinned("base"))
    assert {"scikit-learn", "torch"}.isdisjoint(pinned("predictor"))


def test_manifest_folders_hold_no_python() -> None:
    """A Python file in kserve/ would shadow the package kserve."""
    assert [p for p in tracked(".py") if p.parts[0] in {"kserve", "keda", "monitoring"}] == []


def test_nothing_names_a_machine() -> None:
    """No path of somebody's home or workplace is in the repository."""
    homes = re.compile(rb"(?<![\w.-])/(?:home|root|work|Users)/\w")
    found = [path for path in tracked() if homes.search((ROOT / path).read_bytes())]

    assert found == []


def test_every_test_says_what_it_shows() -> None:
    """Each test function has a docstring."""
    silent = [
        f"{path}::{node.name}"
        for path in tracked(".py")
        if path.parts[0] == "tests"
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert silent == []


def test_readme_has_every_variable_and_no_other() -> None:
    """The README's table is the list of what can be set."""
    read = {
        name
        for path in tracked(".py", "serin", ".sh")
        if path.parts[0] != "tests"
        for name in VARIABLE.findall((ROOT / path).read_text())
    }
    documented = set(VARIABLE.findall((ROOT / "README.md").read_text()))

    assert documented == read | settings()


def settings() -> set[str]:
    """The predictor's variables, as its settings declare them."""
    from predictors.runtime.process.settings import Settings

    return {f"PREDICTOR_{field.upper()}" for field in Settings.model_fields}


def test_readme_has_every_verb() -> None:
    """Each verb is shown or listed."""
    shown = set(re.findall(r"\./serin (\w+)", (ROOT / "README.md").read_text()))

    assert shown == set(VERBS)


def test_readme_shows_output() -> None:
    """There are console blocks, which tests/local/test_readme.py runs."""
    commands = [command for block in console_blocks("README.md") for command, _ in block]

    assert commands[0].startswith("./serin up")
    assert any(command.startswith("curl ") for command in commands)


def test_contributing_fits_on_a_few_screens() -> None:
    """At most 120 lines, or nobody reads it."""
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 120


def test_changelog_keeps_its_form() -> None:
    """Keep a Changelog: Unreleased first, then versions with dates, and only its headings."""
    text = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## (.*)$", text, re.MULTILINE)
    groups = set(re.findall(r"^### (.*)$", text, re.MULTILINE))

    assert releases[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", name) for name in releases[1:])
    assert groups <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def workflows() -> list[Path]:
    return sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


@pytest.mark.parametrize("path", workflows(), ids=lambda path: path.name)
def test_workflows_are_pinned_and_may_do_nothing_more(path: Path) -> None:
    """Actions by commit, no permission by default, and no command that a person cannot run here."""
    workflow = yaml.safe_load(path.read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]

    assert workflow["permissions"] == {}
    assert "cancel-in-progress" in workflow["concurrency"]
    for step in steps:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step.get("uses", f"a/b@{'0' * 40}"))
        command = step.get("run", ".ci/run").split()
        assert command == ["git", "diff", "--exit-code"] or (ROOT / command[0]).is_relative_to(
            ROOT / ".ci"
        ), command


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_documents_name_verbs_and_options_that_there_are(path: Path) -> None:
    """Every `./serin VERB --option` of a document is one; what it prints, tests/local runs."""
    for line in re.findall(r"\./serin ([a-z][^\n`|;&#]*)", (ROOT / path).read_text("utf-8")):
        words = line.split()
        command: click.Command | None = cli.serin
        while isinstance(command, click.Group) and words and re.fullmatch(r"[a-z-]+", words[0]):
            command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, f"{path}: ./serin {line}"
        if command.name in {"train", "test"}:
            continue  # their options are a script's, or pytest's
        known = {option for parameter in command.params for option in parameter.opts}
        given = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        assert given <= {*known, "--help"}, f"{path}: ./serin {line}"


@pytest.mark.parametrize("path", [*tracked(".md")], ids=str)
def test_documents_link_to_files_and_headings_that_exist(path: Path) -> None:
    """Every relative link of a document has its file, and its heading as GitHub writes anchors."""
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", (ROOT / path).read_text("utf-8")):
        name, _, anchor = link.partition("#")
        target = (ROOT / path).parent / name if name else ROOT / path
        assert target.exists(), f"{path}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
            anchors = {
                re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
            }
            assert anchor in anchors, f"{path}: {link}"
