"""The documents' console blocks, run as they are shown, on a terminal of 80x24 in a fresh clone."""

import re
from pathlib import Path

import pytest

from tests.support.documents import console_blocks, matches
from tests.support.platform import Platform
from tests.support.terminal import Terminal, fresh_clone

# Not docs/models/nli.md: it begins with a training of minutes.
DOCUMENTS = {"README.md": 4, "docs/autoscaling.md": 1, "docs/load.md": 1}
"""Each with how many commands it has at least."""


@pytest.mark.parametrize(("document", "least"), DOCUMENTS.items(), ids=list(DOCUMENTS))
def test_every_console_block_does_what_it_shows(
    document: str, least: int, trained: Platform, tmp_path: Path
) -> None:
    """In order, against a platform of the test's own: its port stands for 8080."""
    port = trained.url.rsplit(":", 1)[1]
    settings = {"SERIN_HOME": str(trained.home), "SERIN_PORT": "0", "SERIN_S3_PORT": "0"}
    terminal = Terminal(fresh_clone(tmp_path / "clone"), settings=settings)

    shown = [pair for block in console_blocks(document) for pair in block]
    for command, output in shown:
        done = terminal.run("bash", "-c", re.sub(r"\b8080\b", port, command), seconds=100)

        printed = re.sub(rf"\b{port}\b", "8080", done.printed)
        assert done.code == 0, printed
        assert matches(output, printed), f"$ {command}\n{printed}"
    assert len(shown) >= least
