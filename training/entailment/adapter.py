"""Adapter: what an encoder has to learn to judge pairs, as small additions to its matrices (LoRA).

Hu et al. 2021, arXiv:2106.09685: a matrix of (out, in) becomes matrix + B @ A, with B of (out,
rank) and A of (rank, in). The file has `<matrix>.lora_A`, `<matrix>.lora_B`, `head.weight` and
`head.bias`, in 16 bits, and the temperature beside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from training.entailment.encoder import Encoder, Floats
from training.errors import DataError

RANK = 32
ADAPTED = (  # matrices of each layer
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
SHIPPED = Path(__file__).with_name("minilm") / "adapter.safetensors"


def layer(number: int) -> str:
    """How transformers' names of a layer's weights begin."""
    return f"encoder.layer.{number}."


@dataclass(frozen=True, slots=True)
class Adapter:
    """What was learnt.

    Attributes:
        parts: by their names in the file; the matrices have none where nothing was learnt.
        temperature: that scores are divided by.
    """

    parts: Mapping[str, Floats]
    temperature: float

    @classmethod
    def read(cls, path: Path) -> "Adapter":
        """Read a file that `write` wrote.

        Raises:
            DataError: it is none.
        """
        try:
            with safe_open(path, "numpy") as file:
                temperature = float(file.metadata()["temperature"])
                names = sorted(file.keys())
                parts = {name: file.get_tensor(name).astype(np.float32) for name in names}
        except Exception as error:  # safetensors' own type is not exported for type checkers
            raise DataError(f"{path} is no adapter: {error}") from error
        return cls(parts, temperature)

    def write(self, path: Path) -> None:
        """Write the file, in 16 bits."""
        parts = {name: self.parts[name].astype(np.float16) for name in sorted(self.parts)}
        save_file(parts, path, {"temperature": repr(self.temperature)})

    def merged(self, encoder: Encoder) -> dict[str, Floats]:
        """The encoder's weights with what was learnt, and the head's."""
        weights = dict(encoder.weights)
        for name, part in self.parts.items():
            base = name.removesuffix(".lora_B")
            if base == name:
                continue
            weights[f"{base}.weight"] = (
                weights[f"{base}.weight"] + part @ self.parts[f"{base}.lora_A"]
            )
        for name in ("head.weight", "head.bias"):
            weights[name] = self.parts[name]
        return weights
