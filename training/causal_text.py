"""What training/causal_lm.py measures: text as tokens, bits per byte, greedy continuations."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from predictors.causal_lm.network import CONTEXT, Network
from training.gates import GateError

END = "<|endoftext|>"  # between documents, and before a prompt of no text

Tokens = npt.NDArray[np.int64]


def train_tokenizer(documents: Sequence[str], vocabulary: int) -> Tokenizer:
    """A byte-level BPE tokenizer, GPT-2's kind: any text has tokens, and comes back as it was."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=sorted(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def encoded(tokenizer: Tokenizer, documents: Sequence[str]) -> Tokens:
    """All documents in a row, each after an end-of-text token."""
    end = tokenizer.token_to_id(END)
    ids: list[int] = []
    for one in tokenizer.encode_batch(list(documents), add_special_tokens=False):
        ids += [end, *one.ids] if end is not None else one.ids
    return np.array(ids, np.int64)


def windows(tokens: Tokens) -> torch.Tensor:
    """(windows, CONTEXT) tokens, end to end; what is left over is left out."""
    count = len(tokens) // CONTEXT
    return torch.from_numpy(tokens[: count * CONTEXT].reshape(count, CONTEXT))


def bits_per_byte(model: Any, tokens: Tokens, size_bytes: int) -> float:
    """How many bits the model needs for a byte of text; 8 is knowing nothing.

    Args:
        model: in evaluation mode.
        tokens: of the text, with an end-of-text token before each document.
        size_bytes: of the text.
    """
    loss = 0.0
    counted = 0
    with torch.no_grad():
        for batch in torch.split(windows(tokens), 16):
            loss += float(model(batch, labels=batch).loss) * batch[:, 1:].numel()
            counted += batch[:, 1:].numel()
    return loss / counted / math.log(2) * len(tokens) / size_bytes


def require_bits_per_byte(bits: float, maximum: float) -> None:
    """Refuse a model that predicts its validation text too badly.

    Raises:
        GateError: by how much.
    """
    if not bits <= maximum:  # NaN is above every maximum
        raise GateError(
            f"{bits:.3f} bits per byte of the validation text is above --max-bits-per-byte "
            f"{maximum:g}: not published"
        )


def require_same_logits(model: Any, network: Network, tokens: Tokens, tolerance: float) -> float:
    """Compare the exported network with transformers, token by token through the cache.

    Args:
        model: in evaluation mode.
        network: with room for a row a window.
        tokens: (rows, length): what is read; no more than CONTEXT each.
        tolerance: how far a logit may be off.

    Returns:
        The largest difference.

    Raises:
        GateError: one is larger.
    """
    with torch.no_grad():
        expected = model(torch.from_numpy(tokens)).logits.float().numpy()
    largest = 0.0
    for position in range(tokens.shape[1]):
        logits = network.step(tokens[:, position].tolist(), [position] * len(tokens))
        largest = max(largest, float(np.abs(logits - expected[:, position]).max()))
    if not largest <= tolerance:
        raise GateError(
            f"parity: a logit of the exported model is off by {largest:.3g} (tolerance "
            f"{tolerance:g}): not published"
        )
    return largest


def greedy(
    model: Any, prompt: Sequence[int], count: int, ending: frozenset[int]
) -> tuple[list[int], float]:
    """Continue a prompt with `transformers.generate`.

    Returns:
        The new tokens, at most `count`, and the smallest lead that one of them had over the
        second best: where it is tiny, another processor may choose otherwise.
    """
    given = torch.tensor([list(prompt)])
    generated = model.generate(
        given,
        attention_mask=torch.ones_like(given),
        max_new_tokens=count,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
        eos_token_id=sorted(ending) or None,
        pad_token_id=0,
    )
    tokens = generated.sequences[0, len(prompt) :].tolist()
    leads = [float(best[0] - best[1]) for best in (s[0].topk(2).values for s in generated.scores)]
    return tokens, min(leads)
