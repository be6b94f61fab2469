"""Which files are checked: what git tracks, or would track, and nothing that it ignores."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tracked(*suffixes: str) -> Iterator[Path]:
    """Files of the checkout that end so, relative to its root; all of them without an ending."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in sorted(set(filter(None, listed.stdout.split("\0")))):
        if name.endswith(suffixes or "") and (ROOT / name).is_file():
            yield Path(name)


def shell_scripts() -> Iterator[Path]:
    """Files that a POSIX shell or bash runs, told by their first line."""
    for path in tracked():
        if path.suffix in {"", ".sh"}:
            with (ROOT / path).open("rb") as file:
                first = file.readline()
            if first.startswith(b"#!") and first.split(b"/")[-1].split()[-1] in {b"sh", b"bash"}:
                yield path
