"""README.md's console blocks, run as they are shown."""

import re
import subprocess

from tests.support.documents import ROOT, console_blocks, matches
from tests.support.platform import Platform


def test_every_console_block_does_what_it_shows(trained: Platform) -> None:
    """In order, against a platform of the test's own: its port stands for 8080."""
    port = trained.url.rsplit(":", 1)[1]

    shown = [pair for block in console_blocks("README.md") for pair in block]
    for command, output in shown:
        done = subprocess.run(
            ["bash", "-c", re.sub(r"\b8080\b", port, command)],
            cwd=ROOT,
            env=trained.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

        printed = re.sub(rf"\b{port}\b", "8080", done.stdout)
        assert done.returncode == 0, done.stderr
        assert matches(output, printed), f"$ {command}\n{printed}"
    assert len(shown) >= 4
