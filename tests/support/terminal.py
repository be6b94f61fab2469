"""Verbs on a pseudo-terminal: what a person sees at 80x24, and what Ctrl-C does there."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pexpect
import psutil
import pyte

ROOT = Path(__file__).parents[2]
SIZES = ((80, 24), (120, 40))
"""Columns and rows: the size a terminal opens with, and one that was pulled larger."""
HISTORY_ROWS = 5000
COMMAND_SECONDS = 60.0


@dataclass
class Shown:
    """What a verb left on the terminal, and how it ended."""

    code: int
    """The exit code, or minus the signal."""
    raw: str
    """Everything that was written, escape sequences too."""
    columns: int
    rows: int

    @property
    def lines(self) -> list[str]:
        """The screen and all that scrolled off it, as a person sees it: wrapped where it wraps."""
        screen = pyte.HistoryScreen(self.columns, self.rows, history=HISTORY_ROWS, ratio=1.0)
        pyte.Stream(screen).feed(self.raw)
        above = [
            "".join(line[column].data for column in range(self.columns))
            for line in screen.history.top
        ]
        shown = [line.rstrip() for line in (*above, *screen.display)]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    @property
    def printed(self) -> str:
        """What was printed, line by line as it was written, where the cursor only went forward."""
        if re.search(r"\x1b\[\d*[AHJK]", self.raw):
            return self.text
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw).replace("\r", "")

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)

    @property
    def words(self) -> str:
        """The text with every run of blanks and line ends as one blank: sentences wrap."""
        return re.sub(r"\s+", " ", self.text).strip()


@dataclass
class Terminal:
    """A checkout whose commands are run on a terminal of their own."""

    root: Path = ROOT
    columns: int = 80
    rows: int = 24
    settings: Mapping[str, str] = field(default_factory=dict)
    """Environment variables beside a plain environment's, such as SERIN_HOME."""

    def start(self, *command: str) -> "Running":
        """Start a command and read what it writes until told otherwise."""
        env = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", **self.settings}
        for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
            env.pop(name, None)
        child: pexpect.spawn[str] = pexpect.spawn(
            command[0],
            list(command[1:]),
            cwd=str(self.root),
            env=env,
            dimensions=(self.rows, self.columns),
            encoding="utf-8",
            codec_errors="replace",
            timeout=COMMAND_SECONDS,
            echo=False,
        )
        return Running(child, self.columns, self.rows)

    def run(self, *command: str, seconds: float = COMMAND_SECONDS) -> Shown:
        """Run a command to its end."""
        return self.start(*command).ended(seconds)

    def serin(self, *arguments: str, seconds: float = COMMAND_SECONDS) -> Shown:
        """Run a verb to its end, as its wrapper does, with this Python."""
        return self.begin(*arguments).ended(seconds)

    def begin(self, *arguments: str) -> "Running":
        """Start a verb."""
        if (self.root / ".venv").exists():
            return self.start(str(self.root / "serin"), *arguments)
        settings = {**self.settings, "PYTHONPATH": str(self.root)}
        bare = Terminal(self.root, self.columns, self.rows, settings)
        return bare.start(sys.executable, "-P", "-m", "scripts.cli", *arguments)


class Running:
    """A command that has not ended."""

    def __init__(self, child: "pexpect.spawn[str]", columns: int, rows: int) -> None:
        self._child = child
        self._written: list[str] = []
        self._columns, self._rows = columns, rows

    @property
    def pid(self) -> int:
        """The command's process."""
        assert self._child.pid is not None
        return self._child.pid

    @property
    def written(self) -> str:
        """Everything it wrote so far."""
        return "".join(self._written)

    def until(
        self, pattern: str, seconds: float = COMMAND_SECONDS, *, or_starts: bool = False
    ) -> None:
        """Read until it has written what matches `pattern`, or runs a command that does."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.written + (self._started() if or_starts else "")):
            assert self._read(), f"it ended before {pattern!r}:\n{self.written}"
            assert time.monotonic() < deadline, f"no {pattern!r} in {seconds} s:\n{self.written}"

    def resize(self, columns: int, rows: int) -> None:
        """Pull the window to another size: the program gets SIGWINCH."""
        self._child.setwinsize(rows, columns)
        self._columns, self._rows = columns, rows

    def type(self, text: str) -> None:
        """Press the keys of a text."""
        self._child.send(text)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._child.send("\x03")

    def ended(self, seconds: float = COMMAND_SECONDS) -> Shown:
        """Read to the end; what does not end in time is killed, with all that it started."""
        deadline = time.monotonic() + seconds
        try:
            while self._read():
                if time.monotonic() > deadline:
                    raise AssertionError(f"it did not end in {seconds} s:\n{self.written}")
        finally:
            if self._child.isalive():
                family = psutil.Process(self.pid).children(recursive=True)
                for process in family:
                    process.kill()
            # Its process has been waited for; ptyproc is not in the stubs.
            self._child.ptyproc.delayafterclose = 0.0  # type: ignore[attr-defined]
            self._child.close(force=True)
        code = self._child.exitstatus
        code = code if code is not None else -(self._child.signalstatus or 0)
        return Shown(code, self.written, self._columns, self._rows)

    def _started(self) -> str:
        commands = []
        for process in psutil.Process(self.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                commands.append(" ".join(process.cmdline()))
        return "\n".join(commands)

    def _read(self) -> bool:
        """Read what is there or comes soon; false at the end."""
        try:
            self._written.append(self._child.read_nonblocking(65536, timeout=0.2))
        except pexpect.TIMEOUT:
            pass
        except pexpect.EOF:
            return False
        return True


def fresh_clone(folder: Path) -> Path:
    """A clone as a stranger has it: nothing trained, no state; the installed packages are linked.

    What the working tree changed and did not commit yet is in it, too.
    """
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--modified", "--others", "--deleted", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_file() and not source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        elif not source.exists():
            target.unlink(missing_ok=True)
    if (ROOT / ".venv").exists():
        (folder / ".venv").symlink_to((ROOT / ".venv").resolve())
    return folder
