"""OpenAI's answers: the whole of one, or the chunks of a stream."""

import time
import uuid
from typing import TYPE_CHECKING, Any

import orjson

from predictors.causal_lm.openai.request import Asked
from predictors.causal_lm.sampling import Score
from predictors.runtime.dataplane.job import StreamJob
from predictors.runtime.v2.signature import Outputs

if TYPE_CHECKING:
    from predictors.causal_lm import CausalLmModel

_DONE = b"data: [DONE]\n\n"


class OpenAiExchange:
    """One request and its answer."""

    def __init__(self, model: "CausalLmModel", asked: Asked) -> None:
        self._model = model
        self._asked = asked
        self._ended = [False] * len(asked.prompts)
        self._begun = False
        self._offsets = [0] * len(asked.prompts)
        kind = "chatcmpl" if asked.chat else "cmpl"
        self.id = f"{kind}-{uuid.uuid4().hex}"
        self.rows = len(asked.prompts)
        self.streamed = asked.streamed
        what = "chat.completion" if asked.chat else "text_completion"
        self._head = {
            "id": self.id,
            "object": f"{what}.chunk" if asked.chat and asked.streamed else what,
            "created": int(time.time()),
            "model": asked.model,
            "system_fingerprint": model.version,
        }

    def submit(self, job: StreamJob) -> None:
        """Hand the prompts to the engine."""
        self._model.submit_prompts(job, self._asked.prompts)

    def events(self, outputs: Outputs, *, last: bool) -> list[bytes]:
        """The next chunks, or the one answer."""
        if not self.streamed:
            choices = [self._choice(row, outputs) for row in range(self.rows)]
            whole = {**self._head, "choices": choices, "usage": self._usage(outputs)}
            return [orjson.dumps(whole)]
        events = []
        if self._asked.chat and not self._begun:
            start = {"role": "assistant", "content": ""}
            events += [self._chunk([_delta(row, start)]) for row in range(self.rows)]
        for row in range(self.rows):
            events += self._news(row, outputs)
        self._begun = True
        if last:
            if self._asked.usage_in_stream:
                events.append(self._chunk([], usage=self._usage(outputs)))
            events.append(_DONE)
        return events

    def _news(self, row: int, outputs: Outputs) -> list[bytes]:
        """The chunks of what is new in a row: its text, and for a chat its end apart."""
        if self._ended[row]:
            return []
        text, reason = _text(row, outputs)
        scores: list[Score] = outputs["scores"][row]
        events = []
        if not self._asked.chat:
            if not text and not scores and not reason and (self._begun or not self._asked.texts):
                return []
            self._ended[row] = bool(reason)
            return [self._chunk([self._choice(row, outputs)])]
        if text or (scores and self._wants_scores):
            delta = _delta(row, {"content": text})
            if self._wants_scores:
                delta["logprobs"] = self._chat_logprobs(scores)
            events.append(self._chunk([delta]))
        if reason:
            self._ended[row] = True
            events.append(self._chunk([{**_delta(row, {}), "finish_reason": reason}]))
        return events

    def _chunk(self, choices: list[dict[str, Any]], **more: object) -> bytes:
        usage = {"usage": None} if self._asked.usage_in_stream else {}
        return b"data: %b\n\n" % orjson.dumps({**self._head, "choices": choices, **usage, **more})

    @property
    def _wants_scores(self) -> bool:
        return self._asked.prompts[0].alternatives is not None

    def _choice(self, row: int, outputs: Outputs) -> dict[str, Any]:
        text, reason = _text(row, outputs)
        scores: list[Score] = outputs["scores"][row]
        choice: dict[str, Any] = {"index": row, "finish_reason": reason or None, "logprobs": None}
        if self._asked.chat:
            if self._wants_scores:
                choice["logprobs"] = self._chat_logprobs(scores)
            message = {"role": "assistant", "content": text, "refusal": None}
            return {**choice, "message": message}
        if self._asked.texts and not self._begun:
            text = self._asked.texts[row // self._asked.choices] + text
        if self._wants_scores:
            choice["logprobs"] = self._logprobs(row, scores)
        return {**choice, "text": text}

    def _usage(self, outputs: Outputs) -> dict[str, Any]:
        prompt = int(outputs["prompt_tokens"][:: self._asked.choices].sum())
        completion = int(outputs["completion_tokens"].sum())
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {
                "cached_tokens": int(outputs["reused_tokens"][:: self._asked.choices].sum())
            },
        }

    def _spelt(self, token: int) -> str:
        known = self._model.table[token].decode("utf-8", "replace")
        return known or self._model.spelling(token)

    def _chat_logprobs(self, scores: list[Score]) -> dict[str, Any]:
        def told(token: int, logprob: float | None) -> dict[str, Any]:
            raw = self._model.table[token] or self._model.spelling(token).encode()
            return {"token": self._spelt(token), "logprob": logprob, "bytes": list(raw)}

        content = [
            {
                **told(one.token, one.logprob),
                "top_logprobs": [told(token, logprob) for token, logprob in one.best],
            }
            for one in scores
            if one.token not in self._model.ending
        ]
        return {"content": content, "refusal": None}

    def _logprobs(self, row: int, scores: list[Score]) -> dict[str, Any]:
        """The older form, of `completions`; the prompt's first token has no probability."""
        # A token that ends the answer is no part of its text; who scores a prompt counts on it.
        echo, ending = bool(self._asked.texts), self._model.ending
        kept = [one for one in scores if echo or one.token not in ending]
        offsets = []
        for one in kept:
            offsets.append(self._offsets[row])
            self._offsets[row] += len(self._spelt(one.token))
        return {
            "tokens": [self._spelt(one.token) for one in kept],
            "token_logprobs": [one.logprob for one in kept],
            "top_logprobs": [
                {self._spelt(token): logprob for token, logprob in one.best}
                if one.logprob is not None
                else None
                for one in kept
            ],
            "text_offset": offsets,
        }


def _text(row: int, outputs: Outputs) -> tuple[str, str]:
    return outputs["text_output"][row].decode(), outputs["finish_reason"][row].decode()


def _delta(row: int, delta: dict[str, Any]) -> dict[str, Any]:
    return {"index": row, "delta": delta, "logprobs": None, "finish_reason": None}
