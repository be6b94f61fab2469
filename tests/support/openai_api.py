"""Requests to OpenAI's API of a predictor of the tiny model."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import tiny_lm
from tests.support.predictor import Predictor, running

MODEL = "causal-lm"
MESSAGES = [{"role": "user", "content": "the quick brown fox"}]
CHAT, TEXT = "/openai/v1/chat/completions", "/v1/completions"


@contextmanager
def served(folder: Path) -> Iterator[Predictor]:
    """A predictor of the tiny model, whose files are in a folder."""
    artifact = tiny_lm.write_artifact(folder / "artifact")
    with running(MODEL, artifact, folder / "log") as predictor:
        yield predictor


def ask(lm: Predictor, path: str, **document: Any) -> Any:
    """POST as curl does, without a content type."""
    asked = {"model": MODEL, "max_tokens": 8}
    asked |= {"messages": MESSAGES} if path == CHAT else {"prompt": "the fox"}
    body = json.dumps(asked | document).encode()
    return lm.request("POST", path, body)


def events(body: bytes) -> list[Any]:
    """The chunks of a stream that ends as OpenAI's do."""
    parts = body.decode().split("\n\n")
    assert parts[-2:] == ["data: [DONE]", ""]
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-2]]
