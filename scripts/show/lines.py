"""Lines for people: on a terminal they wrap between words, and go on under their own text."""

import shutil
import textwrap
from typing import TextIO


def wrapped(text: str, stream: TextIO, indent: int = 0) -> str:
    """The text as it is shown on a stream: each line within the terminal's width.

    Args:
        text: Lines, the end of the last one left out.
        stream: Where it goes; what is no terminal gets it as it is.
        indent: Columns that every line after a line's first is moved by.
    """
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(hanging(line, width, indent) for line in text.split("\n"))


def hanging(line: str, width: int, indent: int) -> str:
    """One line as several that fit; words, paths and numbers stay whole where they can."""
    start = len(line) - len(line.lstrip())
    parts = textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * (start + indent),
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
    )
    return "\n".join(parts)
