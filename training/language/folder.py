"""A Hugging Face folder of a causal language model: config.json, safetensors, tokenizer.json.

Read without torch and without transformers. Weights that are pickled are not read: a pickle runs
what it likes.
"""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors import deserialize
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from training.errors import DataError
from training.language.matrices import Floats
from training.language.model import LanguageModel

_KINDS = {"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "F64": np.float64}
_TURNED = ("c_attn", "c_fc", "c_proj")  # GPT-2 keeps these (in, out)
_DEFAULTS = ("temperature", "top_p", "top_k", "repetition_penalty")
_LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md")


def read_folder(folder: Path, name: str) -> LanguageModel:
    """Read a folder.

    Args:
        folder: with the files named above.
        name: what the user called it.

    Raises:
        DataError: a file is missing, or is not what it should be.
    """
    config = _json(folder, "config.json", name)
    if config is None:
        raise DataError(f"{name}: there is no config.json, so no Hugging Face model")
    settings = _json(folder, "tokenizer_config.json", name) or {}
    generation = _json(folder, "generation_config.json", name) or {}
    tokenizer = _tokenizer(folder, name)
    first = settings.get("bos_token") or generation.get("bos_token_id", config.get("bos_token_id"))
    if isinstance(first, dict):
        first = first["content"]
    if isinstance(first, str):
        first = tokenizer.token_to_id(first)
    ending = generation.get("eos_token_id", config.get("eos_token_id"))
    ending = ending if isinstance(ending, list) else [] if ending is None else [ending]
    template = folder / "chat_template.jinja"
    chat = template.read_text("utf-8") if template.is_file() else settings.get("chat_template")
    licence = next((path for path in map(folder.joinpath, _LICENCES) if path.is_file()), None)
    return LanguageModel(
        config,
        _weights(folder, name, config),
        tokenizer,
        first,
        frozenset(ending),
        chat if isinstance(chat, str) else "",
        {key: generation[key] for key in _DEFAULTS if generation.get(key) is not None},
        licence.read_text("utf-8") if licence else "",
        {"model": name},
    )


def _json(folder: Path, file: str, name: str) -> dict[str, Any] | None:
    path = folder / file
    if not path.is_file():
        return None
    try:
        document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{name}: {file} is not JSON: {error}") from error
    return document


def _weights(folder: Path, name: str, config: dict[str, Any]) -> dict[str, Floats]:
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise DataError(f"{name}: there is no .safetensors file; pickled weights are not read")
    tied = config.get("tie_word_embeddings", config.get("model_type") == "gpt2")
    weights: dict[str, Floats] = {}
    for path in paths:
        try:
            tensors = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]  # it has no types
        except Exception as error:  # safetensors' own type is not exported for type checkers
            raise DataError(f"{name}: {path.name} cannot be read: {error}") from error
        for key, stored in tensors:
            if stored["dtype"] not in _KINDS:
                continue  # masks, which GPT-2's files carry
            if tied and key == "lm_head.weight":
                continue
            array = np.frombuffer(stored["data"], _KINDS[stored["dtype"]]).astype(np.float32)
            matrix = array.reshape(stored["shape"])
            if key.endswith(tuple(f"{part}.weight" for part in _TURNED)):
                matrix = matrix.T
            weights[key.removeprefix("transformer.")] = matrix
    return weights


def _tokenizer(folder: Path, name: str) -> Tokenizer:
    if (folder / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    if not (vocabulary.is_file() and merges.is_file()):
        raise DataError(
            f"{name}: there is no tokenizer.json, nor GPT-2's vocab.json and merges.txt"
        )
    tokenizer = Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = _json(folder, "special_tokens_map.json", name) or {}
    texts = [one["content"] if isinstance(one, dict) else one for one in special.values()]
    tokenizer.add_special_tokens([text for text in texts if isinstance(text, str)])
    return tokenizer
