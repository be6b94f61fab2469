"""Lines for people: on a terminal they wrap between words, and go on under their own text."""

import re
import shutil
import textwrap
from typing import TextIO

_UNIT = re.compile(r"(?<=\d) (?=(?:ms|s|min|%|B|KiB|MiB|GiB|/s)\b|%)")
_GAP = re.compile(r"\S {2,}(?=\S)")
_PAIRS = 3
"""Gaps in a line that is names with values: `mean 7 ms  p50 3 ms  p95 9 ms  …`."""
_HELD = "\N{NO-BREAK SPACE}"


def wrapped(text: str, stream: TextIO, indent: int | None = None) -> str:
    """The text as it is shown on a stream: each line within the terminal's width.

    Args:
        text: Lines.
        stream: Where it goes; what is no terminal gets it as it is.
        indent: Columns by which what follows a line's first row is moved; None aligns it with the
            line's last column.
    """
    if not stream.isatty():
        return text
    width = columns()
    return "\n".join(hanging(line, width, indent) for line in text.split("\n"))


def columns() -> int:
    """The terminal's width."""
    return shutil.get_terminal_size().columns


def hanging(line: str, width: int, indent: int | None = None) -> str:
    """One line as several that fit; words, and numbers with their units, stay whole."""
    if len(line) <= width:
        return line
    start = len(line) - len(line.lstrip())
    pairs = len(_GAP.findall(line)) >= _PAIRS
    if indent is None and pairs:
        indent = 2
    if indent is None:
        gaps = [gap.end() for gap in _GAP.finditer(line) if gap.end() <= width // 2]
        indent = gaps[-1] - start if gaps else 2
    held = re.sub(r"(?<=\S) (?=\S)", _HELD, line) if pairs else _UNIT.sub(_HELD, line)
    parts = textwrap.wrap(
        held,
        width,
        subsequent_indent=" " * (start + indent),
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return "\n".join(parts).replace(_HELD, " ")
