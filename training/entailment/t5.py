"""A T5 as transformers knows it, asked for its scores of label words.

`model` is a T5ForConditionalGeneration throughout, whose attributes transformers does not type.
"""

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from predictors.nli import LABELS, PairTokenizer, Row
from training.errors import DataError

PROMPT = ("mnli hypothesis:", "premise:")  # T5's own; what stands before each text
PAD, END = "<pad>", "</s>"


def pair_tokenizer(tokenizer: Any, max_length: int) -> PairTokenizer:
    """Transformers' tokenizer as the predictor needs it: pairs as one text, cut, not padded."""
    fast = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    end, pad = fast.token_to_id(END), fast.token_to_id(PAD)
    if end is None or pad is None:
        raise DataError(f"the tokenizer has no {END} or no {PAD}: expected a T5's")
    fast.no_padding()
    fast.no_truncation()
    before = [fast.encode(text, add_special_tokens=False) for text in PROMPT]
    special = [
        {"id": text, "ids": encoded.ids, "tokens": encoded.tokens}
        for text, encoded in zip(("hypothesis", "premise"), before, strict=True)
    ]
    fast.post_processor = TemplateProcessing(
        single=f"$A {END}",
        pair=f"hypothesis:0 $B:0 premise:0 $A:0 {END}:0",
        special_tokens=[*special, (END, end)],
    )
    fast.enable_truncation(max_length, strategy="longest_first")
    fast.enable_padding(pad_id=pad, pad_token=PAD)
    return PairTokenizer(fast)


def label_tokens(tokenizer: Any) -> list[int]:
    """The first token of each label word, which is all of it that is ever scored.

    Raises:
        DataError: two words begin alike, so that one step cannot tell them apart.
    """
    first = [tokenizer(label, add_special_tokens=False)["input_ids"][0] for label in LABELS]
    if len(set(first)) < len(first) or tokenizer.unk_token_id in first:
        raise DataError(f"label words {LABELS} begin with the tokens {first}: they must differ")
    return first


def asked(model: Any, pairs: PairTokenizer, rows: Sequence[Row], first: list[int]) -> torch.Tensor:
    """Scores of the label words after one decoder step, before softmax: (pairs, labels).

    Of the label words and not the whole vocabulary: that is what is served, and learning leaves all
    other words as pretraining made them.

    Args:
        model: the T5.
        pairs: that tokenised the rows.
        rows: of pairs.
        first: of `label_tokens`.
    """
    tokens = torch.from_numpy(pairs.padded(rows)["input_ids"]).to(model.device)
    start = torch.full_like(tokens[:, :1], model.config.decoder_start_token_id)
    mask = tokens.ne(model.config.pad_token_id).long()
    logits = model(input_ids=tokens, attention_mask=mask, decoder_input_ids=start).logits
    chosen: torch.Tensor = logits[:, 0, first]
    return chosen


class Served(torch.nn.Module):
    """Token ids to probabilities: the encoder once, one decoder step, three columns of the head."""

    def __init__(self, model: Any, first: list[int], temperature: float) -> None:
        super().__init__()
        model.set_attn_implementation("eager")  # the fused one cannot be exported for any length
        self._encoder, self._decoder, config = model.encoder, model.decoder, model.config
        self._pad, self._start = config.pad_token_id, config.decoder_start_token_id
        scale = config.d_model**-0.5 if config.scale_decoder_outputs else 1.0
        self._words = torch.nn.Parameter(model.lm_head.weight[first] * (scale / temperature))

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        mask = input_ids.ne(self._pad).long()
        encoded = self._encoder(input_ids=input_ids, attention_mask=mask).last_hidden_state
        decoded = self._decoder(
            input_ids=torch.full_like(input_ids[:, :1], self._start),
            encoder_hidden_states=encoded,
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        return torch.softmax(decoded[:, 0] @ self._words.T, dim=-1)
