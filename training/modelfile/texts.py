"""A Hugging Face folder of a text classifier: config.json, tokenizer.json and model.onnx."""

import json
import math
from pathlib import Path
from typing import Any

from predictors.onnx.settings import Settings, TextSettings
from predictors.onnx.texts import TAKEN, TOKENIZER
from training.modelfile.errors import PublishError
from training.modelfile.source import require_size

GRAPHS = ("model.onnx", "onnx/model.onnx")
_MOST_CONFIG_BYTES = 4 << 20
_MOST_LABELS = 10_000
_MOST_TOKENS = 512  # where nothing says how much is read


def graph_of(folder: Path) -> Path:
    """The folder's graph.

    Raises:
        PublishError: it has none, or is another kind of model.
    """
    config = _json(folder / "config.json")
    kinds = [str(one) for one in config.get("architectures") or ()]
    if kinds and not any(kind.endswith("ForSequenceClassification") for kind in kinds):
        raise PublishError(
            f"{folder} holds a {', '.join(kinds)}, and of Hugging Face models only text "
            "classifiers (…ForSequenceClassification) are published; a language model: ./serin "
            "train causal-lm --model FOLDER"
        )
    if not (folder / TOKENIZER).is_file():
        raise PublishError(f"{folder / TOKENIZER} is missing: a text classifier needs it")
    for name in GRAPHS:
        if (folder / name).is_file():
            require_size(folder / name)
            return folder / name
    raise PublishError(
        f"{folder} holds weights and no model.onnx: export it with optimum-cli export onnx --model "
        f"{folder} OUT, and publish OUT"
    )


def settings_of(folder: Path, taken: list[str], answered: list[str]) -> TextSettings:
    """What the folder's files say of the classifier.

    Args:
        folder: config.json, tokenizer.json and what else is there.
        taken: the graph's inputs.
        answered: its outputs.

    Raises:
        PublishError: a file is missing or says nothing that can be served.
    """
    config = _json(folder / "config.json")
    tokenizer = _json(folder / TOKENIZER, most=64 << 20)
    if TAKEN[0] not in taken or not set(taken) <= set(TAKEN):
        raise PublishError(
            f"its graph takes {', '.join(taken)}; a text classifier's takes {', '.join(TAKEN)}"
        )
    labels = _labels(config)
    if len(labels) < 2:
        raise PublishError(f"{folder / 'config.json'} names one label: a classifier has at least 2")
    return TextSettings(
        scores="logits" if "logits" in answered else answered[0],
        labels=labels,
        exclusive=config.get("problem_type") != "multi_label_classification",
        max_length=_max_length(folder, config, tokenizer),
        pad=_whole(config.get("pad_token_id"), 0),
    )


def serving(settings: TextSettings) -> Settings:
    """The whole serving.json."""
    return Settings({"probabilities": settings.labels}, settings)


def _labels(config: dict[str, Any]) -> tuple[str, ...]:
    named = config.get("id2label")
    if not isinstance(named, dict) or len(named) > _MOST_LABELS:
        raise PublishError(f"config.json has no id2label with 2 to {_MOST_LABELS} labels")
    try:
        return tuple(str(named[str(index)]) for index in range(len(named)))
    except KeyError as error:
        raise PublishError(f"config.json's id2label has no label {error}") from error


def _max_length(folder: Path, config: dict[str, Any], tokenizer: dict[str, Any]) -> int:
    """Tokens that are read: the least that anything says; RoBERTa's positions begin behind pad."""
    bounds = [_whole((tokenizer.get("truncation") or {}).get("max_length"), _MOST_TOKENS)]
    more = folder / "tokenizer_config.json"
    if more.is_file():
        bounds.append(_whole(_json(more).get("model_max_length"), _MOST_TOKENS))
    positions = _whole(config.get("max_position_embeddings"), _MOST_TOKENS)
    if "roberta" in str(config.get("model_type")):
        positions -= _whole(config.get("pad_token_id"), 1) + 1
    return max(min(*bounds, positions), 2)


def _whole(value: object, otherwise: int) -> int:
    """A count as it was written, or another one where it says nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return otherwise
    return int(value) if 0 <= value < 1 << 20 else otherwise


def _json(path: Path, most: int = _MOST_CONFIG_BYTES) -> dict[str, Any]:
    try:
        if path.stat().st_size > most:
            raise PublishError(f"{path} has over {most >> 20} MiB, and such a file is small")
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise PublishError(f"{path} is missing: a text classifier needs it") from error
    except (ValueError, RecursionError) as error:
        raise PublishError(f"{path} is not JSON") from error
    if not isinstance(document, dict):
        raise PublishError(f"{path} is not a JSON object")
    return document
