import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from controlplane import parts
from scripts.checks import repository, rules, tools
from scripts.verbs.develop import check


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty git repository that the checks take for this one."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    for module in (repository, rules, tools):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_module_of_301_lines_of_code_is_too_long(checkout: Path) -> None:
    """300 pass; what git ignores is not looked at."""
    write(checkout / "long.py", "a = 1\n" * 301)
    write(checkout / "short.py", "a = 1\n" * 300)
    write(checkout / "ignored.py", "a = 1\n" * 999)
    write(checkout / ".gitignore", "ignored.py\n")

    assert list(rules.sizes()) == ["long.py: 301 lines of code, 300 are allowed: it is two things"]


def test_a_folder_of_16_modules_is_two_rooms(checkout: Path) -> None:
    """15 pass; each folder counts for itself, and those of tests are left out."""
    for number in range(16):
        write(checkout / "hall" / f"module{number}.py", "")
        write(checkout / "tests" / "unit" / f"test_{number}.py", "")
    for number in range(15):
        write(checkout / "hall" / "room" / f"module{number}.py", "")

    assert list(rules.rooms()) == ["hall: 16 modules, 15 are allowed: it is two rooms"]


def test_a_door_names_what_is_behind_it(checkout: Path) -> None:
    """An __init__ names its modules and rooms; those that are run are found by their own names."""
    write(checkout / "room/__init__.py", '"""A room.\n\nnamed  what is in it\ninner/  more\n"""\n')
    write(checkout / "room/named.py", "")
    write(checkout / "room/other.py", "")
    write(checkout / "room/model.py", 'A = 1\nif __name__ == "__main__":\n    print(A)\n')
    write(checkout / "room/program/__init__.py", "")
    write(checkout / "room/program/__main__.py", "print()\n")
    write(checkout / "room/inner/__init__.py", "")
    write(checkout / "room/hidden/__init__.py", "")
    write(checkout / "tests/__init__.py", "")
    write(checkout / "tests/test_more.py", "")

    assert sorted(rules.doors()) == [
        "room/__init__.py: does not say what is in hidden",
        "room/__init__.py: does not say what is in other.py",
    ]


def test_explanations_are_not_counted_as_code() -> None:
    """Docstrings, of attributes too, comments and empty lines are free; other strings are not."""
    source = b'''"""A module,

explained."""

# A comment.
TEXT = """three
lines of
text"""  # with a comment behind
"""What TEXT is."""


def call(a,
         b):
    """One line."""
    return (
        a
    )
'''

    assert rules.code_lines(source) == 8


def test_manifests_are_whole_and_applied(checkout: Path) -> None:
    """One object a file, with its name, in a kustomization; nothing applied that is not there."""
    write(
        checkout / "kserve/kustomization.yaml",
        "resources: [good.yaml, nameless.yaml, two.yaml, order.yaml, gone.yaml, list.yaml]\n",
    )
    write(checkout / "kserve/good.yaml", "apiVersion: v1\nkind: A\nmetadata: {name: a}\n")
    write(checkout / "kserve/alone.yaml", "apiVersion: v1\nkind: A\nmetadata: {name: a}\n")
    write(checkout / "kserve/nameless.yaml", "apiVersion: v1\nkind: A\nmetadata: {}\n")
    write(checkout / "kserve/order.yaml", "kind: A\napiVersion: v1\nmetadata: {name: a}\n")
    write(checkout / "kserve/list.yaml", "- a\n")
    write(checkout / "kserve/two.yaml", "a: 1\n---\nb: 1\n")
    write(checkout / "keda/bad.yaml", "a: [\n")
    write(checkout / "keda/canary/a.yaml", "apiVersion: v1\nkind: A\nmetadata: {name: by-hand}\n")
    write(checkout / "other/values.yaml", "a: 1\n---\nb: 1\n")

    breaches = {line.split(": ", 1)[0]: line.split(": ", 1)[1] for line in rules.manifests()}

    assert breaches.pop("keda/bad.yaml").startswith("while parsing")
    assert breaches == {
        "kserve/alone.yaml": "no kustomization applies it",
        "kserve/gone.yaml": "a kustomization applies it, and it is not there",
        "kserve/list.yaml": "no Kubernetes object: apiVersion and kind are missing",
        "kserve/nameless.yaml": "A has no metadata.name",
        "kserve/order.yaml": "keys come in the order apiVersion, kind, metadata, spec",
        "kserve/two.yaml": "one object a file",
    }


def test_shell_scripts_are_told_by_their_first_line(checkout: Path) -> None:
    """A name says nothing: `serin` has no ending."""
    write(checkout / "serin", "#!/bin/sh\n")
    write(checkout / "install.sh", "#!/usr/bin/env bash\n")
    write(checkout / "tool", "#!/usr/bin/env python3\n")
    write(checkout / "LICENSE", "Apache\n")

    assert [str(path) for path in repository.shell_scripts()] == ["install.sh", "serin"]


@pytest.mark.parametrize(("breach", "exit_code"), [(None, 0), ("iris.py: wrong", 1)])
def test_one_complaint_fails_the_verb_and_is_shown(
    breach: str | None, exit_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every check runs, and the table has all of them."""
    rule = tools.Check("a rule", lambda: iter(filter(None, [breach])))
    tool = tools.Check("a tool", ["true"])
    monkeypatch.setattr(tools, "checks", lambda: iter([rule, tool]))
    monkeypatch.setattr(parts, "install", lambda _: None)  # these packages are another test's

    done = CliRunner().invoke(check.command)

    assert done.exit_code == exit_code
    assert (breach or "") in done.output
    assert "a rule" in done.output
    assert "a tool" in done.output


def test_a_tool_that_is_not_there_is_a_complaint() -> None:
    """A check that cannot run has not passed."""
    (run,) = check.perform([tools.Check("spelling", ["no-such-program"])], 1)

    assert run.complaint == "no-such-program is not installed: ./serin install dev"


def test_verbs_are_commands() -> None:
    """cli.py finds each by its module's `command`."""
    from scripts.verbs.develop import test
    from scripts.verbs.serving import infer

    assert all(isinstance(verb.command, click.Command) for verb in (check, infer, test))
