"""A GGUF file of Llama's form: its weights as float32, its tokenizer, its words.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import gguf
import numpy as np
from gguf.quants import dequantize
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from training.errors import DataError
from training.language.matrices import Floats
from training.language.model import LanguageModel

_NAMES = {  # GGUF's → transformers', with a layer's number between
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_CONTROL, _USER_DEFINED = 3, 4  # kinds of tokens
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class _Fields(dict[str, Any]):
    """What a file tells of itself; a field that it must tell and does not is an error."""

    def __missing__(self, name: str) -> NoReturn:
        raise DataError(f"the GGUF file does not tell {name}")


def read_gguf(path: Path, origin: Mapping[str, str], licence: str = "") -> LanguageModel:
    """Read a file.

    Raises:
        DataError: it is no GGUF file, or holds a model of another form.
    """
    try:
        reader = gguf.GGUFReader(path)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise DataError(f"{path} cannot be read as a GGUF file: {error}") from error
    told = _Fields({name: field.contents() for name, field in reader.fields.items()})
    if told.get("general.architecture") != "llama":
        raise DataError(
            f"{path} holds a model of the form {told.get('general.architecture')!r}: expected llama"
        )
    if told.get("llama.rope.scaling.type", "none") != "none" or "llama.expert_count" in told:
        raise DataError(f"{path}: scaled rotations and mixtures of experts cannot be exported")
    heads = told["llama.attention.head_count"]
    kv_heads = told.get("llama.attention.head_count_kv", heads)
    weights: dict[str, Floats] = {}
    for tensor in reader.tensors:
        name = _name(tensor.name, path)
        matrix = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            matrix = _unpaired(matrix, heads if "q_proj" in name else kv_heads)
        weights[name] = matrix
    config = {
        "model_type": "llama",
        "hidden_size": told["llama.embedding_length"],
        "num_hidden_layers": told["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": told.get("llama.attention.key_length"),
        "intermediate_size": told["llama.feed_forward_length"],
        "max_position_embeddings": told["llama.context_length"],
        "rms_norm_eps": told["llama.attention.layer_norm_rms_epsilon"],
        "rope_theta": told.get("llama.rope.freq_base", 10_000.0),
        "hidden_act": "silu",
        "vocab_size": len(told["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": "lm_head.weight" not in weights,
    }
    endings = [told.get(f"tokenizer.ggml.{kind}_token_id") for kind in ("eos", "eot")]
    return LanguageModel(
        config,
        weights,
        _tokenizer(told, path),
        told.get("tokenizer.ggml.bos_token_id"),
        frozenset(token for token in endings if token is not None),
        told.get("tokenizer.chat_template", ""),
        licence=licence or told.get("general.license", ""),
        origin=origin,
    )


def _name(name: str, path: Path) -> str:
    if name in _OUTER:
        return _OUTER[name]
    kind, _, rest = name.partition(".")
    layer, _, part = rest.partition(".")
    part, _, leaf = part.rpartition(".")
    if kind != "blk" or part not in _NAMES:
        raise DataError(f"{path}: tensor {name!r} is none of Llama's")
    return f"model.layers.{layer}.{_NAMES[part]}.{leaf}"


def _unpaired(matrix: Floats, heads: int) -> Floats:
    """Undo GGUF's order of rotated outputs, which puts the two of a pair side by side."""
    paired = matrix.reshape(heads, -1, 2, matrix.shape[1])
    return paired.swapaxes(1, 2).reshape(matrix.shape)


def _tokenizer(told: Mapping[str, Any], path: Path) -> Tokenizer:
    prefix = "tokenizer.ggml"
    kind, cut = told.get(f"{prefix}.model"), told.get(f"{prefix}.pre", "default")
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    before: dict[str, list[Any]] = {
        "smollm": [pre_tokenizers.Digits(individual_digits=True), words],
        "gpt-2": [words],
        "default": [words],
        "llama-bpe": [pre_tokenizers.Split(Regex(_LLAMA3), "isolated"), bytes_only],
    }
    if kind != "gpt2" or cut not in before:
        raise DataError(
            f"{path}: its tokenizer {kind!r} ({cut}) is not known here: expected gpt2's byte-level "
            f"BPE, cut as {', '.join(before)}. A Hugging Face folder brings its own"
        )
    tokens = told[f"{prefix}.tokens"]
    merges = [tuple(merge.split(" ")) for merge in told.get(f"{prefix}.merges", [])]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(before[cut])
    tokenizer.decoder = decoders.ByteLevel()
    kinds = told.get(f"{prefix}.token_type", [])
    special = [tokens[at] for at, kind in enumerate(kinds) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    added = [tokens[at] for at, kind in enumerate(kinds) if kind == _USER_DEFINED]
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in added])
    return tokenizer
