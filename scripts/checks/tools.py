"""The tools of others that look at this repository, with the arguments they get."""

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.checks import monitoring, rules
from scripts.checks.repository import ROOT, shell_scripts, tracked

PACKAGES = ("controlplane", "predictors", "scripts", "training")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table: a command that ends with 0, or a rule that yields no breach."""

    name: str
    what: Sequence[str] | Callable[[], Iterator[str]]


def checks() -> Iterator[Check]:
    """All that applies here, the longest first."""
    present = [package for package in PACKAGES if (ROOT / package).is_dir()]
    yield Check("mypy", [*_module("mypy"), *present, "tests"])
    yield Check("import rules", [_program("lint-imports"), "--no-logo"])
    yield Check("ruff", [_program("ruff"), "check", "--output-format", "concise", "."])
    yield Check(
        "ruff format", [_program("ruff"), "format", "--check", "--output-format", "concise", "."]
    )
    yield Check("spelling", [_program("codespell"), *_names(tracked())])
    if scripts := _names(shell_scripts()):
        yield Check("shell", [_program("shellcheck"), "-x", *scripts])
    if documents := _names(tracked(".yaml", ".yml")):
        yield Check("yaml", [*_module("yamllint"), "--strict", *documents])
    workflows = [str(path) for path in tracked(".yaml") if path.parent.name == "workflows"]
    if workflows:
        schema = ("check-jsonschema", "--builtin-schema", "vendor.github-workflows")
        yield Check("workflows", [_program(schema[0]), *schema[1:], *workflows])
        yield Check("workflow safety", [_program("zizmor"), "--offline", "--quiet", ".github"])
    yield Check("manifests", rules.manifests)
    yield Check("module sizes", rules.sizes)
    yield Check("rooms", rules.rooms)
    yield Check("doors", rules.doors)
    yield Check("dashboards", monitoring.dashboards)
    if shutil.which("promtool"):
        yield Check("monitoring rules", monitoring.rules)


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]


def _program(name: str) -> str:
    """A program of the environment that runs this, before any other on PATH."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else name


def _names(paths: Iterator[Path]) -> list[str]:
    return [str(path) for path in paths]
