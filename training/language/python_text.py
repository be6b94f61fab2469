"""Text to learn from: what comes with Python itself, or a file.

Every Python carries its language reference (pydoc_data.topics) and the docstrings of its standard
library: some 3 MB of English and code, the same on every machine with that version. Nothing is
downloaded, and nothing of the library is imported: its files are parsed.
"""

import ast
import hashlib
import platform
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.errors import DataError

# Not prose: tests, tools that are being retired, and what is installed beside the library.
_LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "ensurepip"}
_VALIDATED = 20  # every 20th document is not trained on
_SHORTEST = 80  # characters; below it a docstring says no more than its function's name
_LINES = 40  # of a file make a document, where nothing else parts it
_LEAST_BYTES = 20_000


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents to train on and others to validate with."""

    name: str
    train: list[str]
    validation: list[str]

    @property
    def train_bytes(self) -> int:
        """Of the documents to train on."""
        return _size(self.train)

    @property
    def validation_bytes(self) -> int:
        """Of the documents to validate with."""
        return _size(self.validation)

    @property
    def identity(self) -> dict[str, str | int]:
        """Name, sha256 and sizes: for the manifest."""
        digest = hashlib.sha256()
        for document in (*self.train, *self.validation):
            digest.update(document.encode() + b"\0")
        return {
            "name": self.name,
            "sha256": digest.hexdigest(),
            "train_bytes": self.train_bytes,
            "validation_bytes": self.validation_bytes,
        }


def corpus(path: Path | None, little: bool) -> Corpus:  # noqa: FBT001 - a flag handed on
    """The file's text, or Python's."""
    return from_python(little=little) if path is None else from_file(path)


def from_python(*, little: bool = False) -> Corpus:
    """The running interpreter's documentation; `little` is the docstrings of one package."""
    library = Path(sysconfig.get_path("stdlib"))
    name = f"python-{platform.python_version()}-documentation"
    if little:
        return _parted(f"{name}-asyncio", list(_docstrings(library / "asyncio")))
    documents = [text for _, text in sorted(_topics().items())]
    return _parted(name, [*documents, *_docstrings(library)])


def from_file(path: Path) -> Corpus:
    """A text file, cut at blank lines.

    Raises:
        DataError: it cannot be read, is not UTF-8, or holds too little to learn from.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {error}") from error
    if len(text.encode()) < _LEAST_BYTES:
        raise DataError(
            f"{path}: at least {_LEAST_BYTES} bytes are needed, got {len(text.encode())}"
        )
    lines = text.splitlines(keepends=True)
    documents = ["".join(lines[at : at + _LINES]) for at in range(0, len(lines), _LINES)]
    return _parted(path.name, documents)


def _parted(name: str, documents: list[str]) -> Corpus:
    train = [text for number, text in enumerate(documents) if number % _VALIDATED]
    return Corpus(name, train, documents[::_VALIDATED])


def _topics() -> dict[str, str]:
    """The language reference as `help()` shows it; some distributions leave it out."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        return {}
    return dict(topics)


def _docstrings(library: Path) -> Iterator[str]:
    """Each docstring of the standard library once, in the order of the files' names."""
    seen = set()
    for path in sorted(library.rglob("*.py")):
        if _LEFT_OUT.intersection(path.relative_to(library).parts):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except SyntaxError:  # templates and examples of errors
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                if len(text) >= _SHORTEST and text not in seen:
                    seen.add(text)
                    yield text


def _size(documents: list[str]) -> int:
    return sum(len(document.encode()) for document in documents)
