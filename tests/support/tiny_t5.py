"""`python -m tests.support.tiny_t5 MODEL DATA`: folders as a hub has them, without a hub.

MODEL is a T5 of Flan-T5's form with random weights; DATA is MultiNLI's layout, a parquet file for
each split.
"""

import gzip
import json
import sys
from pathlib import Path

from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from predictors.nli import LABELS
from tests.support.required import ROOT

SPECIAL = ("<pad>", "</s>", "<unk>")
SPLITS = ("train", "validation_matched", "validation_mismatched")


def main() -> None:
    """Write both folders."""
    model, data = map(Path, sys.argv[1:])
    path = ROOT / "training" / "entailment" / "minilm" / "held_out.jsonl.gz"
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    texts = [row[name] for row in rows for name in ("premise", "hypothesis")]

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    words = [*LABELS, "mnli", "hypothesis:", "premise:"]
    trainer = trainers.UnigramTrainer(
        vocab_size=600, special_tokens=list(SPECIAL), unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator([*texts, *words * 100], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(model)
    config = T5Config(
        vocab_size=len(fast),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    config.tie_word_embeddings = False
    config.decoder_start_token_id = 0
    T5ForConditionalGeneration(config).save_pretrained(model)

    (data / "data").mkdir(parents=True)
    for number, split in enumerate(SPLITS):
        lines = [*rows[number::4], rows[3] | {"label": None}]  # -1 is what a hub has of no label
        columns = {
            "premise": [row["premise"] for row in lines],
            "hypothesis": [row["hypothesis"] for row in lines],
            "label": [LABELS.index(row["label"]) if row["label"] else -1 for row in lines],
        }
        Dataset.from_dict(columns).to_parquet(data / "data" / f"{split}-00000-of-00001.parquet")


if __name__ == "__main__":
    main()
