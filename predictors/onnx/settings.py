"""serving.json of a published version: what its graph cannot say, written once when published."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from predictors.runtime import ArtifactError

FILE = "serving.json"


@dataclass(frozen=True, slots=True)
class TextSettings:
    """How a text classifier's texts are cut, and what its scores are.

    Attributes:
        scores: the graph's output of one score a label.
        labels: names of its columns.
        exclusive: whether one label holds (softmax), or each for itself (a sigmoid each).
        max_length: tokens; what is longer is cut.
        pad: the token id that fills short rows.
    """

    scores: str
    labels: tuple[str, ...]
    exclusive: bool
    max_length: int
    pad: int


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole file; a version without one has neither."""

    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Output → names along its last axis."""
    text: TextSettings | None = None

    @classmethod
    def read(cls, folder: Path) -> "Settings":
        """The settings of a version's folder.

        Raises:
            ArtifactError: the file is not what `write` makes.
        """
        path = folder / FILE
        if not path.exists():
            return cls()
        try:
            document: dict[str, Any] = json.loads(path.read_bytes())
            labels = {name: tuple(map(str, one)) for name, one in document["labels"].items()}
            text = document["text"]
            if text is not None:
                text = TextSettings(**{**text, "labels": tuple(text["labels"])})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ArtifactError(f"{path} is not what `serin publish` writes: {error!r}") from error
        return cls(labels, text)

    def write(self, folder: Path) -> None:
        """Put the file beside the graph, where there is something to say."""
        if self != Settings():
            text = json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False)
            (folder / FILE).write_text(f"{text}\n", "utf-8")
