"""An encoder of BERT's form that learns to judge pairs: torch, and nothing else of transformers.

Only the adapter learns. Matrices are added up once a batch and multiplied in bfloat16 where the
processor has instructions for that (AMX): many times as fast as float32 on one core, and a third
of the memory.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from predictors.nli import LABELS, PairTokenizer, Row
from training.entailment.adapter import ADAPTED, RANK, Adapter, layer
from training.entailment.encoder import Encoder

_QKV = ADAPTED[:3]
_MASKED = -1e4


def precision() -> torch.dtype:
    """What learns fastest here."""
    fast = torch.cuda.is_available() or torch.cpu._is_amx_tile_supported()  # noqa: SLF001 - there is no public one
    return torch.bfloat16 if fast else torch.float32


class Bert(torch.nn.Module):
    """An encoder that stays as it is, an adapter and a head that learn."""

    def __init__(self, encoder: Encoder, adapter: Adapter | None, dtype: torch.dtype) -> None:
        """`adapter`: where to go on from; None begins with one that changes nothing."""
        super().__init__()
        self._config = encoder.config
        self._layers = int(encoder.config["num_hidden_layers"])
        self._names = {name: _key(name) for name in encoder.weights}
        for name, matrix in encoder.weights.items():
            part = torch.from_numpy(matrix.copy())
            self.register_buffer(_key(name), part, persistent=False)
        self._dtype = dtype
        parts = _fresh(encoder) if adapter is None else adapter.parts
        self.learnt = torch.nn.ParameterDict(
            {_key(name): torch.nn.Parameter(torch.tensor(part)) for name, part in parts.items()}
        )
        self._learnt_names = list(parts)

    def adapter(self, temperature: float) -> Adapter:
        """What it has learnt, rounded as the file has it; the network then answers so too."""
        with torch.no_grad():
            for part in self.learnt.values():
                part.copy_(part.half())
        parts = {
            name: self.learnt[_key(name)].detach().cpu().numpy() for name in self._learnt_names
        }
        return Adapter(parts, temperature)

    def forward(self, ids: torch.Tensor, kinds: torch.Tensor, pad: int) -> torch.Tensor:
        """Scores of the labels before softmax, (pairs, labels).

        Args:
            ids: (pairs, tokens), padded.
            kinds: (pairs, tokens), 0 for the premise and 1 for the hypothesis.
            pad: the token that is none.
        """
        pairs, tokens = ids.shape
        heads = int(self._config["num_attention_heads"])
        real = ids.ne(pad)
        bias = (~real * _MASKED).to(self._dtype)[:, None].expand(pairs, heads, tokens)
        bias = bias.reshape(pairs * heads, 1, tokens)
        x = (
            self._part("embeddings.word_embeddings.weight")[ids]
            + self._part("embeddings.position_embeddings.weight")[:tokens]
            + self._part("embeddings.token_type_embeddings.weight")[kinds]
        )
        x = self._normalised("embeddings.LayerNorm", x)
        width = x.shape[-1]
        size = width // heads
        for number in range(self._layers):
            base = layer(number)
            matrix = torch.cat([self._matrix(f"{base}{name}") for name in _QKV])
            added = torch.cat([self._part(f"{base}{name}.bias") for name in _QKV])
            packed = functional.linear(x, matrix, added).view(pairs, tokens, 3, heads, size)
            packed = packed.permute(2, 0, 3, 1, 4).contiguous()
            query, key, value = packed.view(3, pairs * heads, tokens, size).unbind(0)
            # Not the fused one, which is slower by far for short rows on a processor.
            weights = torch.baddbmm(bias, query, key.mT, alpha=size**-0.5).softmax(-1)
            seen = (weights @ value).view(pairs, heads, tokens, size).transpose(1, 2)
            seen = seen.reshape(pairs, tokens, width)
            x = x + self._linear(f"{base}attention.output.dense", seen)
            x = self._normalised(f"{base}attention.output.LayerNorm", x)
            inner = functional.gelu(self._linear(f"{base}intermediate.dense", x))
            x = x + self._linear(f"{base}output.dense", inner)
            x = self._normalised(f"{base}output.LayerNorm", x)
        counted = real[..., None].float()
        mean = (x.float() * counted).sum(1) / counted.sum(1)
        head = [self.learnt[_key(f"head.{part}")] for part in ("weight", "bias")]
        scores: torch.Tensor = functional.linear(mean, *head)
        return scores

    def _part(self, name: str) -> torch.Tensor:
        part: torch.Tensor = getattr(self, self._names[name])
        return part.to(self._dtype)

    def _matrix(self, name: str) -> torch.Tensor:
        before: torch.Tensor = getattr(self, self._names[f"{name}.weight"])
        first, second = (self.learnt[_key(f"{name}.lora_{part}")] for part in "AB")
        matrix: torch.Tensor = before + second @ first
        return matrix.to(self._dtype)

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self._matrix(name), self._part(f"{name}.bias"))

    def _normalised(self, name: str, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self._part(f"{name}.weight"), self._part(f"{name}.bias")
        epsilon = float(self._config["layer_norm_eps"])
        return functional.layer_norm(x, x.shape[-1:], weight, bias, epsilon)


def asked(model: Bert, pairs: PairTokenizer, rows: Sequence[Row]) -> torch.Tensor:
    """Scores of the labels before softmax, (pairs, labels)."""
    padded = {name: torch.from_numpy(array) for name, array in pairs.padded(rows).items()}
    answer: torch.Tensor = model(padded["input_ids"], padded["token_type_ids"], pairs.pad)
    return answer


def _key(name: str) -> str:
    """A name as torch takes it for a parameter."""
    return name.replace(".", "/")


def _fresh(encoder: Encoder) -> dict[str, Any]:
    """An adapter that adds nothing yet, and a head that prefers nothing."""
    drawn = torch.Generator().manual_seed(0)
    width = int(encoder.config["hidden_size"])
    parts = {"head.weight": torch.zeros(len(LABELS), width), "head.bias": torch.zeros(len(LABELS))}
    for number in range(int(encoder.config["num_hidden_layers"])):
        for name in ADAPTED:
            base = f"{layer(number)}{name}"
            rows, columns = encoder.weights[f"{base}.weight"].shape
            first = torch.randn(RANK, columns, generator=drawn) / columns**0.5
            parts |= {f"{base}.lora_A": first, f"{base}.lora_B": torch.zeros(rows, RANK)}
    return {name: part.numpy() for name, part in parts.items()}
