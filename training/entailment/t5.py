"""A T5 as transformers knows it: found, asked for its scores of label words, exported to ONNX.

`model` is a T5ForConditionalGeneration throughout, whose attributes transformers does not type.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, AutoTokenizer, T5ForConditionalGeneration
from transformers.utils.logging import disable_progress_bar

from predictors.nli import LABELS, PairTokenizer, Row
from training.entailment.pretrained import available
from training.errors import DataError
from training.export.pytorch import without_traces
from training.export.scikit import save as save_onnx

SMOOTHING = 0.05  # of the labels learnt: none is certain
OPSET = 18  # ONNX 1.13: any ONNX Runtime since 1.14 reads it
PROMPT = ("mnli hypothesis:", "premise:")  # T5's own; what stands before each text
PAD, END = "<pad>", "</s>"
disable_progress_bar()  # type: ignore[no-untyped-call]  # of files written in no time
_BATCH = 64  # pairs scored at once


def pretrained(name: str) -> tuple[Any, Any]:
    """A model and its tokenizer.

    Args:
        name: of the Hugging Face hub, such as google/flan-t5-small; a local folder; or s3:// and
            where the store of SERIN_S3_ENDPOINT keeps such a folder.

    Raises:
        DataError: it is not there, or no T5.
        RegistryError: the store cannot be asked.
    """
    with available(name) as source:
        try:
            config = AutoConfig.from_pretrained(source)
            if config.model_type != "t5":
                raise DataError(f"MODEL_NAME {name} is a {config.model_type}, not a T5")
            model = T5ForConditionalGeneration.from_pretrained(source, dtype=torch.float32)
            return model, AutoTokenizer.from_pretrained(source)
        except (OSError, ValueError) as error:  # what transformers raises where nothing is
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"MODEL_NAME {name} cannot be loaded; where no hub is reached, name a local folder "
                f"or an s3:// URI: {reason}"
            ) from error


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


def label_scores(model: Any, tokens: torch.Tensor, first: list[int]) -> torch.Tensor:
    """Scores of the label words after one decoder step, before softmax: (pairs, labels).

    Args:
        model: the T5.
        tokens: (pairs, length), padded.
        first: of `label_tokens`.
    """
    tokens = tokens.to(model.device)
    start = torch.full_like(tokens[:, :1], model.config.decoder_start_token_id)
    mask = tokens.ne(model.config.pad_token_id).long()
    logits = model(input_ids=tokens, attention_mask=mask, decoder_input_ids=start).logits
    chosen: torch.Tensor = logits[:, 0, first]
    return chosen


def loss(
    model: Any,
    pairs: PairTokenizer,
    rows: Sequence[Row],
    labels: npt.NDArray[np.int64],
    first: list[int],
) -> torch.Tensor:
    """The loss of choosing the right label word, mean over pairs.

    Among the label words and not the whole vocabulary: that is what is served, and it leaves all
    other words as pretraining made them.

    Args:
        model: in training mode.
        pairs: that tokenised the rows.
        rows: of pairs.
        labels: (pairs,) index into LABELS.
        first: of `label_tokens`.
    """
    return torch.nn.functional.cross_entropy(
        label_scores(model, torch.from_numpy(pairs.padded(rows)["input_ids"]), first),
        torch.from_numpy(labels).to(model.device),
        label_smoothing=SMOOTHING,
    )


@torch.no_grad()
def scores(
    model: Any, pairs: PairTokenizer, rows: Sequence[Row], first: list[int]
) -> npt.NDArray[np.float64]:
    """Scores of the label words after one decoder step, before softmax: (pairs, labels)."""
    model.eval()
    answers = np.empty((len(rows), len(first)))
    order = np.argsort([len(row) for row in rows], kind="stable")
    for start in range(0, len(rows), _BATCH):
        batch = order[start : start + _BATCH]
        tokens = torch.from_numpy(pairs.padded([rows[number] for number in batch])["input_ids"])
        answers[batch] = label_scores(model, tokens, first).cpu().numpy()
    return answers


class _Served(torch.nn.Module):
    """Token ids to probabilities: the encoder once, one decoder step, three columns of the head."""

    def __init__(self, model: Any, first: list[int], temperature: float) -> None:
        super().__init__()
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


def export(model: Any, first: list[int], temperature: float, path: Path) -> None:
    """Write the ONNX file that is served; the same model gives the same bytes."""
    model.set_attn_implementation("eager")  # the fused one cannot be exported for any length
    served = _Served(model, first, temperature).train(mode=False)
    example = torch.full((3, 11), 5)
    any_size = torch.export.Dim.DYNAMIC
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about itself
        program = torch.onnx.export(
            served,
            (example,),
            dynamo=True,
            input_names=["input_ids"],
            output_names=["probabilities"],
            dynamic_shapes=({0: any_size, 1: any_size},),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - it is where dynamo=True
    save_onnx(without_traces(program.model_proto), path)
