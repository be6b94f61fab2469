"""A BERT of random weights, for `--smoke`: all the way in a second, and it knows nothing."""

import re
from collections import Counter

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from predictors.nli import LABELS
from training.entailment.adapter import Adapter
from training.entailment.encoder import Encoder
from training.entailment.pairs import Pairs

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_HIDDEN, _INNER, _LAYERS, _HEADS, _WORDS, _POSITIONS = 32, 64, 2, 4, 2_000, 512


def tiny_bert(pairs: Pairs, max_length: int, seed: int) -> tuple[Encoder, Adapter]:
    """Two layers, a token for each frequent word of the pairs, and a head that draws lots."""
    words = Counter(word for text in pairs.texts() for word in re.findall(r"\w+|\S", text.lower()))
    known = [word for word, _ in sorted(words.items(), key=lambda each: (-each[1], each[0]))]
    vocabulary = {token: number for number, token in enumerate((*_SPECIAL, *known[:_WORDS]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(min(max_length, _POSITIONS), strategy="longest_first")
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")  # noqa: S106 - no password
    drawn = np.random.default_rng(seed)

    def matrix(*shape: int) -> np.ndarray:
        return drawn.normal(0, 0.1, shape).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": matrix(len(vocabulary), _HIDDEN),
        "embeddings.position_embeddings.weight": matrix(_POSITIONS, _HIDDEN),
        "embeddings.token_type_embeddings.weight": matrix(2, _HIDDEN),
    }
    normalised = ["embeddings.LayerNorm"]
    for number in range(_LAYERS):
        base = f"encoder.layer.{number}"
        attention = f"{base}.attention"
        squares = [f"{attention}.self.{name}" for name in ("query", "key", "value")]
        for name in (*squares, f"{attention}.output.dense"):
            weights |= {f"{name}.weight": matrix(_HIDDEN, _HIDDEN), f"{name}.bias": matrix(_HIDDEN)}
        for name, rows, columns in (
            (f"{base}.intermediate.dense", _INNER, _HIDDEN),
            (f"{base}.output.dense", _HIDDEN, _INNER),
        ):
            weights |= {f"{name}.weight": matrix(rows, columns), f"{name}.bias": matrix(rows)}
        normalised += [f"{attention}.output.LayerNorm", f"{base}.output.LayerNorm"]
    for name in normalised:
        weights |= {
            f"{name}.weight": np.ones(_HIDDEN, np.float32),
            f"{name}.bias": np.zeros(_HIDDEN, np.float32),
        }
    config = {
        "model_type": "bert",
        "hidden_size": _HIDDEN,
        "intermediate_size": _INNER,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "max_position_embeddings": _POSITIONS,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }
    head = {"head.weight": matrix(len(LABELS), _HIDDEN), "head.bias": matrix(len(LABELS))}
    encoder = Encoder(config, weights, tokenizer, {"model": "random weights"})
    return encoder, Adapter(head, 1.0)
