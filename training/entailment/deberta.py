"""A DeBERTa (He et al. 2020, arXiv:2006.03654) as transformers knows it, with a head of our labels.

`model` is a DebertaForSequenceClassification or DebertaV2ForSequenceClassification throughout,
whose attributes transformers does not type.
"""

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer

from predictors.nli import LABELS, PairTokenizer, Row
from training.errors import DataError

GIVEN = ("input_ids", "token_type_ids")  # of the exported graph


def own_head(model: Any) -> None:
    """Have the head score our labels, in our order: one that knows them goes on, any other anew."""
    known = {str(label).lower(): number for number, label in model.config.id2label.items()}
    before = model.classifier
    head = torch.nn.Linear(before.in_features, len(LABELS))
    with torch.no_grad():
        if known.keys() == set(LABELS):
            order = [known[label] for label in LABELS]
            head.weight.copy_(before.weight[order])
            head.bias.copy_(before.bias[order])
        else:  # names such as LABEL_0 say nothing
            head.weight.zero_()
            head.bias.zero_()
    model.classifier, model.num_labels = head, len(LABELS)
    model.config.id2label = dict(enumerate(LABELS))
    model.config.label2id = {label: number for number, label in enumerate(LABELS)}


def pair_tokenizer(model: Any, tokenizer: Any, max_length: int) -> PairTokenizer:
    """Transformers' tokenizer as the predictor needs it: cut to what the model can read."""
    if tokenizer.pad_token_id is None:
        raise DataError("the tokenizer has no padding token: expected a DeBERTa's")
    fast = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    most = min(max_length, model.config.max_position_embeddings)
    fast.enable_truncation(most, strategy="longest_first")
    fast.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)
    return PairTokenizer(fast)


def asked(model: Any, pairs: PairTokenizer, rows: Sequence[Row]) -> torch.Tensor:
    """Scores of the labels before softmax, (pairs, labels)."""
    padded = pairs.padded(rows)
    ids, kinds = (torch.from_numpy(padded[name]).to(model.device) for name in GIVEN)
    return _scores(model, ids, kinds, pairs.pad)


class Served(torch.nn.Module):
    """Token ids to probabilities, as they are exported."""

    def __init__(self, model: Any, pad: int, temperature: float) -> None:
        super().__init__()
        self._model, self._pad, self._temperature = model, pad, temperature

    def forward(self, input_ids: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        scores = _scores(self._model, input_ids, token_type_ids, self._pad)
        return torch.softmax(scores / self._temperature, dim=-1)


def _scores(model: Any, ids: torch.Tensor, kinds: torch.Tensor, pad: int) -> torch.Tensor:
    mask = ids.ne(pad).long()
    scores: torch.Tensor = model(input_ids=ids, attention_mask=mask, token_type_ids=kinds).logits
    return scores
