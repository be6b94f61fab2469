"""docs/clients.md, as it is printed, against the real gateway."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import required
from tests.support.documents import ROOT
from tests.support.platform import Platform

TEXT = (ROOT / "docs" / "clients.md").read_text("utf-8")
BLOCKS = re.findall(r"^## ([^\n]+)$|^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
RUNNERS = {
    "sh": ["bash", "-euo", "pipefail", "{file}"],
    "python": [sys.executable, "{file}"],
    "js": ["node", "{file}"],
    "go": ["go", "run", "{file}"],
}
ENDINGS = {"sh": "sh", "python": "py", "js": "mjs", "go": "go"}


def examples() -> dict[str, tuple[str, str]]:
    """Where an example stands: its language and its text."""
    found: dict[str, tuple[str, str]] = {}
    heading = ""
    for title, language, text in BLOCKS:
        heading = title or heading
        if language:
            found[f"{heading} {len(found)}"] = language, text
    return found


EXAMPLES = examples()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_works_as_it_is_printed(trained: Platform, tmp_path: Path, name: str) -> None:
    """With the address of this platform in place of the default, and nothing else changed."""
    language, text = EXAMPLES[name]
    program = RUNNERS[language][0]
    if language == "go" and not shutil.which("go"):
        pytest.skip("go is not installed")
    required.binary(program)
    file = tmp_path / f"example.{ENDINGS[language]}"
    file.write_text(text.replace("127.0.0.1:8080", trained.url.removeprefix("http://")), "utf-8")
    done = subprocess.run(
        [part.format(file=file) for part in RUNNERS[language]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert '"error"' not in done.stdout, done.stdout
    assert any(word in done.stdout for word in ("setosa", "digit")), done.stdout
