"""Text continued by a causal language model (GPT-2 or Llama form, ONNX Runtime).

Trained or taken over by training/causal_lm.py. Prompts are generated from side by side, see
engine.py, and answered whole or piece by piece.
"""

import json

from tokenizers import Tokenizer

from predictors.causal_lm.engine import Engine
from predictors.causal_lm.network import CONTEXT, Network
from predictors.causal_lm.prompts import (
    DEFAULT_MAX_TOKENS,
    MAX_STOPS,
    MAX_TEMPERATURE,
    PromptReader,
)
from predictors.causal_lm.text import UnknownDecoderError, bytes_of_tokens
from predictors.runtime import ArtifactError, StreamingModel, TensorSpec
from predictors.runtime.dataplane.job import Job
from predictors.runtime.observe.metrics import ModelMetrics


def _setting(name: str, datatype: str, **parameters: object) -> TensorSpec:
    """An optional input of one value a prompt, and what metadata tells of it."""
    return TensorSpec(name, datatype, (-1,), optional=True, parameters=parameters)


class CausalLmModel(StreamingModel):
    """What follows a prompt, with token counts and the reason for its end.

    A prompt and what follows it are at most 256 tokens together. In a stream `text_output` is what
    is new since the piece before; counts are totals; `finish_reason` is empty until the row ends.
    """

    inputs = (
        TensorSpec(
            "text_input",
            "BYTES",
            (-1,),
            also_accepts=((-1, 1),),
            parameters={"max_total_tokens": CONTEXT},
        ),
        _setting("max_tokens", "INT32", default=DEFAULT_MAX_TOKENS, minimum=1, maximum=CONTEXT - 1),
        _setting("temperature", "FP32", default=0, minimum=0, maximum=MAX_TEMPERATURE),
        _setting("top_k", "INT32", default=0, minimum=0),
        _setting("top_p", "FP32", default=1, minimum=0, maximum=1),
        _setting("seed", "INT64"),
        TensorSpec(
            "stop",
            "BYTES",
            (-1, -1),
            also_accepts=((-1,),),
            optional=True,
            parameters={"max_items": MAX_STOPS},
        ),
        _setting("truncate", "BOOL", default=False),
    )
    outputs = (
        TensorSpec("text_output", "BYTES", (-1,)),
        TensorSpec("prompt_tokens", "INT32", (-1,)),
        TensorSpec("completion_tokens", "INT32", (-1,)),
        TensorSpec("finish_reason", "BYTES", (-1,)),
    )

    def load(self) -> bool:
        session = self.onnx_session("model.onnx", on_cpu=True)
        generation = json.loads((self.model_dir / "generation.json").read_text("utf-8"))
        tokenizer = Tokenizer.from_file(str(self.model_dir / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        try:
            table = bytes_of_tokens(tokenizer)
        except UnknownDecoderError as error:
            raise ArtifactError(f"tokenizer.json: {error}") from error
        self._reader = PromptReader(tokenizer, generation["first_token"])
        self._engine = Engine(Network(session, 1), table, frozenset(generation["ending_tokens"]))
        self._engine.start()
        return super().load()

    def limit(self, metrics: ModelMetrics, *, max_rows: int, queue_size: int) -> None:
        self._engine.limit(max_rows, queue_size, metrics)

    def submit(self, job: Job) -> None:
        """Continue a batch of prompts.

        Args:
            job: `text_input` (batch,) UTF-8 text. Optional, one value a prompt: `max_tokens`
                1 … 255, by default 64 or what fits; `temperature` 0 … 100, 0 (greedy) by default;
                `top_k`, 0 for all; `top_p` 0 … 1; `seed`; `stop` (batch, any number) texts to end
                before; `truncate`: whether to cut a prompt that is too long at its beginning.
                Answers text_output (batch,) bytes; prompt_tokens, completion_tokens (batch,)
                int32; finish_reason (batch,) bytes, `stop` or `length`.
        """
        self._engine.submit(job, self._reader.read(job.arrays, job.rows))

    def close(self) -> None:
        self._engine.close()
