"""Text continued by a causal language model (GPT-2 or Llama form, ONNX Runtime).

Published by training/causal_lm.py. Prompts are generated from side by side, see engine.py, and
answered whole or piece by piece: by V2, and by OpenAI's API.

openai           OpenAI's API
tensors          V2's tensors, both ways
prompts, chat    texts and conversations to tokens, within the budget
budget           tokens a row may have, memory for beginnings
engine, network  batches that rows join and leave; the decoder and its cache
prefixes         the cache of beginnings
sampling, guide  the next token; answers held to JSON
text, answer     text from tokens; a request's rows as they are generated
"""

import json
from typing import Any

from tokenizers import Tokenizer

from predictors.causal_lm.budget import Budget
from predictors.causal_lm.chat import ChatTemplate
from predictors.causal_lm.engine import CHUNK, Engine
from predictors.causal_lm.guide import Grammars
from predictors.causal_lm.network import Network
from predictors.causal_lm.openai import OpenAi
from predictors.causal_lm.prefixes import PrefixCache
from predictors.causal_lm.prompts import Prompt, PromptReader
from predictors.causal_lm.tensors import INPUTS, OUTPUTS, TensorReader
from predictors.causal_lm.text import UnknownDecoderError, bytes_of_tokens
from predictors.runtime import ArtifactError, StreamingModel
from predictors.runtime.dataplane.job import Job
from predictors.runtime.observe.metrics import ModelMetrics


class CausalLmModel(StreamingModel):
    """What follows a prompt, with token counts and the reason for its end.

    A prompt and what follows it are at most MAX_TOTAL_TOKENS together, 256 by default. In a stream
    `text_output` is what is new since the piece before; counts are totals; `finish_reason` is empty
    until the row ends.
    """

    inputs = INPUTS
    outputs = OUTPUTS

    def load(self) -> bool:
        session = self.onnx_session("model.onnx", on_cpu=True, exact=True)
        generation = json.loads((self.model_dir / "generation.json").read_text("utf-8"))
        tokenizer = Tokenizer.from_file(str(self.model_dir / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        try:
            self.table = bytes_of_tokens(tokenizer)
        except UnknownDecoderError as error:
            raise ArtifactError(f"tokenizer.json: {error}") from error
        budget = Budget.read()
        capacity = min(budget.max_total_tokens, generation["positions"])
        first = generation["first_token"]
        self.ending = ending = frozenset(generation["ending_tokens"])
        self.reader = PromptReader(tokenizer, first, capacity)
        self.grammars = Grammars(tokenizer, ending)
        self.sampling: dict[str, float] = generation["sampling"]
        template = self.model_dir / "chat_template.jinja"
        self.chat = None
        if template.is_file():
            self.chat = ChatTemplate(template.read_text("utf-8"), tokenizer, first, capacity)
        self._tensors = TensorReader(self.reader, self.grammars)
        prefixes = PrefixCache(CHUNK, budget.prefix_cache_mb * 2**20)
        self._engine = Engine(Network(session, 1, capacity), self.table, ending, prefixes)
        self._engine.start()
        return super().load()

    def get_input_types(self) -> list[dict[str, object]]:
        """The inputs for metadata, with the budget that this server has."""
        told: list[dict[str, Any]] = super().get_input_types()
        for tensor in told:
            if tensor["name"] == "text_input":
                tensor["parameters"]["max_total_tokens"] = self.reader.capacity
            elif tensor["name"] == "max_tokens":
                tensor["parameters"]["maximum"] = self.reader.capacity - 1
        return told

    def limit(self, metrics: ModelMetrics, *, max_rows: int, queue_size: int) -> None:
        self.grammars.prepare()
        self._engine.limit(max_rows, queue_size, metrics)

    def submit(self, job: Job) -> None:
        """Continue a batch of prompts.

        Args:
            job: `text_input` (batch,) UTF-8 text. Optional, one value a prompt: `max_tokens`,
                by default 64 or what fits; `temperature` 0 … 100, 0 (greedy) by default;
                `top_k`, 0 for all; `top_p` 0 … 1; `seed`; `stop` (batch, any number) texts to end
                before; `truncate`: whether to cut a prompt that is too long at its beginning;
                `presence_penalty` and `frequency_penalty`, -2 … 2; `json_schema`: JSON text;
                `logprobs`: how many likelier tokens to tell beside each one, 0 … 20.
                Answers text_output (batch,) bytes; prompt_tokens, completion_tokens (batch,)
                int32; finish_reason (batch,) bytes, `stop` or `length`; logprobs (batch,) bytes,
                JSON.
        """
        self.check_rows(job.rows)
        self._engine.submit(job, self._tensors.read(job.arrays, job.rows))

    def check_rows(self, rows: int) -> None:
        """Refuse more rows in one request than may wait at all; before they are read.

        Raises:
            InvalidRequest: it has more.
        """
        self._engine.check_rows(rows)

    def submit_prompts(self, job: Job, prompts: list[Prompt]) -> None:
        """Continue prompts that were read already."""
        self._engine.submit(job, prompts)

    def spelling(self, token: int) -> str:
        """How the tokenizer writes a token, such as one that is no text."""
        return self.reader.spelling(token)

    def dialect(self) -> OpenAi:
        """OpenAI's API."""
        return OpenAi(self)

    def close(self) -> None:
        self._engine.close()
