"""A T5 on kserve's own model server, answering as Serin's nli does: transformers in `predict`.

One forward pass for the three label words, not `generate`, so it does no more than Serin does; the
temperature is the artifact's.
"""

import json
from pathlib import Path
from typing import Any

import torch
from kserve import model_server
from kserve.model import Model
from kserve.model_server import ModelServer
from kserve.utils.utils import get_predict_response
from transformers import AutoTokenizer, T5ForConditionalGeneration

LABELS = ("entailment", "neutral", "contradiction")


class T5Model(Model):
    """The artifact's transformers/ folder, asked for probabilities."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self._folder = folder

    def load(self) -> bool:
        source = self._folder / "transformers"
        self._tokenizer = AutoTokenizer.from_pretrained(source)
        self._model: Any = T5ForConditionalGeneration.from_pretrained(source)
        self._model.train(mode=False)
        metrics = json.loads((self._folder / "MANIFEST.json").read_bytes())["metrics"]
        self._temperature, self._max_length = metrics["temperature"], metrics["max_length"]
        encoded = self._tokenizer(list(LABELS), add_special_tokens=False)["input_ids"]
        self._first = [ids[0] for ids in encoded]
        self.ready = True
        return self.ready

    @torch.inference_mode()
    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """As a kserve model of one's own is written: texts in, tensors, one forward pass."""
        texts = {one.name: [_text(element) for element in one.as_numpy()] for one in payload.inputs}
        prompts = [
            f"mnli hypothesis: {hypothesis} premise: {premise}"
            for premise, hypothesis in zip(texts["premise"], texts["hypothesis"], strict=True)
        ]
        inputs = self._tokenizer(
            prompts, padding=True, truncation=True, max_length=self._max_length, return_tensors="pt"
        )
        start = torch.full((len(prompts), 1), self._model.config.decoder_start_token_id)
        logits = self._model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            decoder_input_ids=start,
        ).logits
        probabilities = torch.softmax(logits[:, 0, self._first] / self._temperature, dim=-1)
        return get_predict_response(payload, probabilities.numpy(), self.name)


def _text(element: str | bytes) -> str:
    """One element of a BYTES tensor: REST brings text, gRPC bytes."""
    return element.decode() if isinstance(element, bytes) else element


if __name__ == "__main__":
    model_server.parser.add_argument("--model_dir", type=Path, required=True)
    arguments = model_server.parser.parse_args()
    model = T5Model(arguments.model_name, arguments.model_dir)
    model.load()
    ModelServer().start([model])
