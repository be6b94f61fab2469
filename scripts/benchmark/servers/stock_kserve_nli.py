"""nli's encoder on kserve's own model server, by transformers, answering as Serin's nli does.

The weights are the artifact's, whose graph has them under transformers' names; so is the
temperature.
"""

import json
from pathlib import Path
from typing import Any

import onnx
import torch
from kserve import model_server
from kserve.model import Model
from kserve.model_server import ModelServer
from kserve.utils.utils import get_predict_response
from onnx import numpy_helper
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast


class NliModel(Model):
    """The artifact, asked for probabilities."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self._folder = folder

    def load(self) -> bool:
        graph = onnx.load(self._folder / "model.onnx").graph
        weights = {
            tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
            for tensor in graph.initializer
        }
        for name, codes in weights.items():  # of 8 bits, (in, out), beside each output's scale
            if codes.dtype == torch.int8:
                scales = weights[name.removesuffix("weight") + "scales"]
                weights[name] = (codes * scales).T.contiguous()
        (attention, *rest) = (node for node in graph.node if node.op_type == "MultiHeadAttention")
        (heads,) = (part.i for part in attention.attribute if part.name == "num_heads")
        words, width = weights["embeddings.word_embeddings.weight"].shape
        config = BertConfig(
            vocab_size=words,
            hidden_size=width,
            num_hidden_layers=1 + len(rest),
            num_attention_heads=heads,
            intermediate_size=len(weights["encoder.layer.0.intermediate.dense.bias"]),
            max_position_embeddings=len(weights["embeddings.position_embeddings.weight"]),
        )
        self._encoder: Any = BertModel(config, add_pooling_layer=False)
        self._encoder.load_state_dict(
            {name: part for name, part in weights.items() if name in self._encoder.state_dict()}
        )
        self._encoder.train(mode=False)
        self._head = [weights[f"head.{part}"] for part in ("weight", "bias")]
        metrics = json.loads((self._folder / "MANIFEST.json").read_bytes())["metrics"]
        self._temperature, self._max_length = metrics["temperature"], metrics["max_length"]
        self._tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # it has no types
            tokenizer_file=str(self._folder / "tokenizer.json"),
            pad_token="[PAD]",  # noqa: S106 - no password
        )
        self.ready = True
        return self.ready

    @torch.inference_mode()
    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """As a kserve model of one's own is written: texts in, tensors, one forward pass."""
        texts = {one.name: [_text(element) for element in one.as_numpy()] for one in payload.inputs}
        inputs = self._tokenizer(
            texts["premise"],
            texts["hypothesis"],
            padding=True,
            truncation=True,
            max_length=self._max_length,
            return_token_type_ids=True,
            return_tensors="pt",
        )
        states = self._encoder(**inputs).last_hidden_state
        real = inputs["attention_mask"][..., None]
        mean = (states * real).sum(1) / real.sum(1)
        scores = torch.nn.functional.linear(mean, *self._head) / self._temperature
        return get_predict_response(payload, torch.softmax(scores, dim=-1).numpy(), self.name)


def _text(element: str | bytes) -> str:
    """One element of a BYTES tensor: REST brings text, gRPC bytes."""
    return element.decode() if isinstance(element, bytes) else element


if __name__ == "__main__":
    model_server.parser.add_argument("--model_dir", type=Path, required=True)
    arguments = model_server.parser.parse_args()
    model = NliModel(arguments.model_name, arguments.model_dir)
    model.load()
    ModelServer().start([model])
