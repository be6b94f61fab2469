"""A Llama of random weights, for `--smoke`: all the way in a second, and no word means anything."""

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from training.language.model import LanguageModel

_END, _START, _STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
_HIDDEN, _INNER, _LAYERS, _HEADS = 64, 128, 2, 4
_CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% endif %}"
)


def tiny_llama(seed: int) -> LanguageModel:
    """Two layers, a token a byte, and a chat template."""
    tokens = [_END, _START, _STOP, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([_END, _START, _STOP])
    drawn = np.random.default_rng(seed)

    def matrix(*shape: int) -> np.ndarray:
        return drawn.normal(0, 0.3, shape).astype(np.float32)

    weights = {
        "model.embed_tokens.weight": matrix(len(tokens), _HIDDEN),
        "model.norm.weight": np.ones(_HIDDEN, np.float32),
    }
    for layer in range(_LAYERS):
        base = f"model.layers.{layer}"
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{base}.{name}.weight"] = np.ones(_HIDDEN, np.float32)
        for name in "qkvo":
            weights[f"{base}.self_attn.{name}_proj.weight"] = matrix(_HIDDEN, _HIDDEN)
        for name in ("gate", "up"):
            weights[f"{base}.mlp.{name}_proj.weight"] = matrix(_INNER, _HIDDEN)
        weights[f"{base}.mlp.down_proj.weight"] = matrix(_HIDDEN, _INNER)
    config = {
        "model_type": "llama",
        "vocab_size": len(tokens),
        "hidden_size": _HIDDEN,
        "intermediate_size": _INNER,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
    }
    return LanguageModel(
        config, weights, tokenizer, 0, frozenset({0, 2}), _CHAT, origin={"model": "random weights"}
    )
