"""A causal LM on kserve's own model server: `transformers.generate` in `predict`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kserve import model_server
from kserve.model import Model
from kserve.model_server import ModelServer
from kserve.protocol.infer_type import InferOutput, InferResponse
from kserve.utils.utils import generate_uuid
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast


class CausalLm(Model):
    """The Hugging Face folder that the artifact was made from, and its tokenizer; greedy."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self._folder = folder

    def load(self) -> bool:
        file = str(self._folder / "tokenizer.json")
        tokenizer: Any = PreTrainedTokenizerFast  # of which transformers types little
        self._tokenizer = tokenizer(tokenizer_file=file)
        manifest = json.loads((self._folder / "MANIFEST.json").read_text("utf-8"))
        self._model: Any = AutoModelForCausalLM.from_pretrained(manifest["data"]["model"])
        self._model.train(mode=False)
        self.ready = True
        return self.ready

    @torch.inference_mode()
    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """As a kserve model of one's own is written: a prompt in, what follows it out."""
        given = {one.name: one.as_numpy().ravel()[0] for one in payload.inputs}
        text = given["text_input"]
        prompt = self._tokenizer(
            text.decode() if isinstance(text, bytes) else text, return_tensors="pt"
        )
        length = prompt["input_ids"].shape[1]
        tokens = self._model.generate(
            input_ids=prompt["input_ids"],
            attention_mask=prompt["attention_mask"],
            max_new_tokens=int(given["max_tokens"]),
            do_sample=False,
            pad_token_id=0,
        )[0]
        # With the prompt, since a tokenizer may drop the space before the first of some tokens.
        whole, start = (
            self._tokenizer.decode(ids, skip_special_tokens=True)
            for ids in (tokens, tokens[:length])
        )
        texts = np.array([whole[len(start) :].encode()], np.object_)
        count = np.array([len(tokens) - length], np.int32)
        outputs = [
            InferOutput("text_output", [1], "BYTES"),
            InferOutput("completion_tokens", [1], "INT32"),
        ]
        outputs[0].set_data_from_numpy(texts, binary_data=False)
        outputs[1].set_data_from_numpy(count, binary_data=False)
        return InferResponse(payload.id or generate_uuid(), self.name, outputs)


if __name__ == "__main__":
    model_server.parser.add_argument("--model_dir", type=Path, required=True)
    arguments = model_server.parser.parse_args()
    model = CausalLm(arguments.model_name, arguments.model_dir)
    model.load()
    ModelServer().start([model])
