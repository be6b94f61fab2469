"""Console blocks of documents: the commands in them, and what they are said to print.

    ```console
    $ ./serin infer iris 5.1 3.5 1.4 0.2
    iris …
    ```

`…` stands for any text within a line, and a line of `…` alone for any lines. What no two runs have
in common, versions, ids, measured numbers, bars, is compared by its form. A command that ends with
a backslash goes on in the next line.
"""

import re
import shlex
import subprocess
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def documents() -> list[str]:
    """Every Markdown file of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return listed.stdout.split()


def fenced_blocks(document: str) -> list[tuple[str, str]]:
    """Each fenced block's language and text, without the indent of a list."""
    text = (ROOT / document).read_text("utf-8")
    return [(language, textwrap.dedent(body)) for _, language, body in FENCED.findall(text)]


def shell_blocks(document: str, *languages: str) -> list[list[str]]:
    """The commands of each block that a shell runs, in order; languages are `sh` and `console`."""
    blocks = []
    for language, text in fenced_blocks(document):
        if languages and language not in languages:
            continue
        if language == "console":
            lines = re.findall(r"^\$ ((?:.*\\\n)*.*)$", text, re.MULTILINE)
            blocks.append([line.replace("\\\n", "") for line in lines])
        elif language == "sh":
            blocks.append(_commands(text))
    return blocks


def _commands(text: str) -> list[str]:
    """The commands of a script, whole, also where a quoted text goes on in the next line."""
    found, begun = [], ""
    for line in text.splitlines():
        begun += line + "\n"
        if line.endswith("\\"):
            continue
        try:
            words = shlex.split(begun, comments=True)
        except ValueError:
            continue
        if words:
            found.append(begun.strip())
        begun = ""
    return found


def console_blocks(document: str) -> list[list[tuple[str, str]]]:
    """Each block's (command, output) pairs, in order."""
    return [
        [
            (command.replace("\\\n", ""), output)
            for command, output in re.findall(
                r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE
            )
        ]
        for block in BLOCK.findall((ROOT / document).read_text())
    ]


_MEASURED = (
    (re.compile(r"[█▉▊▋▌▍▎▏]+"), ""),
    (re.compile(r"\b[0-9a-f]{16}-[0-9a-f]+\b|\b[0-9a-f]{12}\b"), "HASH"),
    (re.compile(r"\b\d+(?:\.\d+)? (?:ms\b|s(?=  ))"), "TIME"),
    (re.compile(r"\b\d+\.\d+(?:e[-+]?\d+)?"), "NUMBER"),
    (re.compile(r"\b\d+(?= (?:requests|answered)|%| \(NUMBER%\))"), "COUNT"),
)


def matches(documented: str, printed: str) -> bool:
    """Whether `printed` is what the document shows; how wide columns are does not count."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "…" else ".*?".join(map(re.escape, line.split("…"))) + r"\n"
        for line in _lines(documented)
    )
    return re.fullmatch(pattern, "".join(line + "\n" for line in _lines(printed))) is not None


def _lines(text: str) -> list[str]:
    text = re.sub(r"\n +(?=p\d)", " ", text)  # where a line of quantiles wraps is up to them
    for measured, form in _MEASURED:
        text = measured.sub(form, text)
    return [re.sub(r"[ ─]+", " ", line).strip() for line in text.strip().splitlines()]
