"""`serin install`: adds the packages of a part, such as torch, to .venv."""

import subprocess
from pathlib import Path

import click

ROOT = Path(__file__).parents[3]


@click.command("install")
@click.argument("parts", nargs=-1, required=True, metavar="PART…")
def command(parts: tuple[str, ...]) -> None:
    """Install the packages of a part: requirements/PART.txt.

    The wrapper installs them and needs no packages for that. A verb installs the parts that it
    needs when it first runs.
    """
    done = subprocess.run([ROOT / "serin", "install", *parts], check=False)
    raise SystemExit(done.returncode)
