"""A DeBERTa of v3's form with random weights, in a folder as a hub has it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import DebertaV2Config, DebertaV2ForSequenceClassification, DebertaV2Tokenizer

SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")  # in v3's order


def write(folder: Path, texts: Sequence[str], labels: Sequence[str]) -> None:
    """Write it.

    Args:
        folder: to be made.
        texts: that its vocabulary comes from.
        labels: of its head, in their order there.
    """
    learnt = Tokenizer(models.Unigram())
    learnt.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=list(SPECIAL), unk_token="[UNK]", show_progress=False
    )
    learnt.train_from_iterator(texts, trainer)
    pieces = json.loads(learnt.to_str())["model"]["vocab"]
    tokenizer = DebertaV2Tokenizer(vocab=[(piece, score) for piece, score in pieces])
    tokenizer.save_pretrained(folder)
    form: dict[str, Any] = {  # of v3, which transformers does not type
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
    }
    config = DebertaV2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        initializer_range=0.5,  # so that its answers differ from pair to pair
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        **form,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        DebertaV2ForSequenceClassification(config).save_pretrained(folder)
