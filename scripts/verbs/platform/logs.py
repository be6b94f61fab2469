"""`serin logs`: prints the logs of predictors, or of everything."""

import re
import sys
import time
from pathlib import Path

import click

from scripts.show.lines import wrapped
from scripts.show.records import readable


@click.command("logs")
@click.argument("model", required=False)
@click.option("-f", "--follow", is_flag=True, help="Print new lines as they are written.")
@click.option("--tail", "lines", default=100, show_default=True, help="Lines of each file; -1 all.")
def command(model: str | None, follow: bool, lines: int) -> None:
    """Print the logs of MODEL's pods, or of everything that runs here.

    If there are several files, each line starts with the file's name. On a terminal a request is
    one short line: time, model, status, duration, id. In a pipe it is JSON with every field. Logs
    stay after ./serin down.
    """
    from controlplane import statefolder
    from controlplane.errors import SerinError
    from controlplane.local import client

    home = statefolder.home()
    if model:
        client.check([model], client.applied(home))
    follower = Follower(home.logs, model, lines)
    if not follower.files() and not follow:
        raise SerinError(
            f"There are no logs of {model or 'anything'} in {home.logs} yet: start with ./serin up."
        )
    follower.print_new()
    while follow:
        time.sleep(0.2)
        follower.print_new()


def short(stem: str) -> str:
    """A pod's log by its model and the last letters of its name; any other by its own name."""
    found = re.fullmatch(r"(.+?)(-canary)?-predictor-[0-9a-f]{10}-(\w{5})", stem)
    return f"{found[1]}{' canary' if found[2] else ''} {found[3]}" if found else stem


class Follower:
    """Prints what files gain; files may come and go."""

    def __init__(self, folder: Path, model: str | None, lines: int) -> None:
        self.folder = folder
        # <deployment>-<template hash>-<suffix>.log
        pod = rf"{re.escape(model)}(-canary)?-predictor-[0-9a-f]{{10}}-\w{{5}}" if model else ".*"
        self.name = re.compile(pod + r"\.log")
        self.lines = lines
        self.on_terminal = sys.stdout.isatty()
        self.read: dict[Path, int] = {}
        """Bytes of each file that were printed."""

    def files(self) -> list[Path]:
        """The matching logs, oldest first."""
        found = [path for path in self.folder.glob("*.log") if self.name.fullmatch(path.name)]
        return sorted(found, key=lambda path: path.stat().st_mtime)

    def print_new(self) -> None:
        """Print what is new; of a file seen for the first time, its last lines."""
        files = self.files()
        for path in files:
            first = path not in self.read
            start = self.read.get(path, 0)
            if path.stat().st_size < start:
                start = 0  # it was rotated
            with path.open("rb") as file:
                file.seek(start)
                content = file.read()
            content = content[: content.rfind(b"\n") + 1]  # a line being written waits
            self.read[path] = start + len(content)
            kept = content.splitlines()
            if first and self.lines >= 0:
                kept = kept[-self.lines :] if self.lines else []
            name = short(path.stem) if self.on_terminal else path.stem
            prefix = f"{name}  " if len(files) > 1 else ""
            for line in kept:
                text = line.decode("utf-8", "replace")
                if self.on_terminal:
                    text = wrapped(prefix + readable(text), sys.stdout, indent=4)
                else:
                    text = prefix + text
                click.echo(text)
