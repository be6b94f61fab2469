"""What became of a request: its rows as they are generated, and the tensors that tell of them."""

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from predictors.causal_lm.prompts import Prompt
from predictors.causal_lm.sampling import Logits, Score, score
from predictors.causal_lm.text import Completion
from predictors.runtime.dataplane.job import Job, StreamJob

Outputs = dict[str, npt.NDArray[Any]]
STOP, LENGTH = "stop", "length"  # finish reasons, as OpenAI's API and vLLM name them


class Row:
    """One prompt: first filled into the cache, then continued token by token."""

    def __init__(self, answer: "Answer", prompt: Prompt, completion: Completion) -> None:
        self.answer = answer
        self.prompt = prompt
        self.filled = 0  # tokens of the prompt that are in the cache
        self.reused = 0  # of these, what another prompt had put there
        self.keys: list[bytes] = []  # of the prompt's whole chunks
        self.token = 0  # the newest one, which is not in the cache yet
        self.generated = 0
        self.reason = ""
        self.news: list[str] = []  # text since the last piece
        self.scores: list[Score] = []  # of the tokens since then, where they are asked for
        self._completion = completion

    @property
    def left(self) -> int:
        """Tokens of the prompt that are not in the cache."""
        return len(self.prompt.tokens) - self.filled

    @property
    def cached(self) -> int:
        """Tokens that are in the cache: all but the newest."""
        return self.filled + max(0, self.generated - 1)

    @property
    def position(self) -> int:
        """Where the newest token stands in the row."""
        return len(self.prompt.tokens) + self.generated - 1

    def read(self, tokens: list[int], logits: Logits) -> None:
        """Score tokens of the prompt, which follow what is filled.

        Args:
            tokens: the next ones.
            logits: (tokens, vocabulary) after each.
        """
        alternatives = self.prompt.alternatives or 0
        if not self.filled:
            self.scores.append(Score(tokens[0], None, []))
        follow = self.prompt.tokens[self.filled + 1 : self.filled + len(tokens) + 1]
        self.scores += [score(logits[at], token, alternatives) for at, token in enumerate(follow)]

    def end(self, reason: str) -> None:
        """End without a further token."""
        self.reason = reason
        self.answer.changed = True

    def take(self, token: int, logits: Logits, ending: frozenset[int]) -> None:
        """Accept a generated token; sets `reason` where it is the last one."""
        if self.prompt.alternatives is not None:
            self.scores.append(score(logits, token, self.prompt.alternatives))
        self.token = token
        self.generated += 1
        self.answer.changed = True
        if token in ending:
            self.reason = STOP
        else:
            self.news.append(self._completion.add(token))
            if self._completion.stopped:
                self.reason = STOP
            elif self.generated >= self.prompt.max_tokens:
                self.reason = LENGTH
        if self.reason:
            self.news.append(self._completion.end())


class Answer:
    """One request: its rows, those that wait and those that are computed."""

    def __init__(self, job: Job, prompts: list[Prompt], table: list[bytes]) -> None:
        self.job = job
        self.rows = [Row(self, prompt, Completion(table, prompt.stops)) for prompt in prompts]
        self.waiting = deque(self.rows)
        self.started = 0  # rows in the cache now
        self.changed = False
        self._table = table

    @property
    def done(self) -> bool:
        """Whether every row has its finish reason."""
        return all(row.reason for row in self.rows)

    def deliver(self) -> None:
        """Send what is new, or all of it at the end."""
        self.changed = False
        if self.done:
            self.job.finish(self._outputs())
        elif isinstance(self.job, StreamJob) and self.job.in_pieces:
            self.job.piece(self._outputs())

    def _outputs(self) -> Outputs:
        """Each output, a row for each prompt; the text is what `news` holds."""
        texts = ["".join(row.news).encode() for row in self.rows]
        scores: npt.NDArray[Any] = np.empty(len(self.rows), object)
        for place, row in enumerate(self.rows):
            scores[place], row.scores = row.scores, []
            row.news.clear()
        return {
            "scores": scores,
            "logprobs": _bytes([self._told(row) for row in scores]),
            "reused_tokens": np.array([row.reused for row in self.rows], np.int32),
            "text_output": _bytes(texts),
            "prompt_tokens": np.array([len(row.prompt.tokens) for row in self.rows], np.int32),
            "completion_tokens": np.array([row.generated for row in self.rows], np.int32),
            "finish_reason": _bytes([row.reason.encode() for row in self.rows]),
        }

    def _told(self, scores: list[Score]) -> bytes:
        """V2's output `logprobs`: of each token, with the likeliest ones in its place."""

        def told(token: int, logprob: float | None) -> dict[str, Any]:
            text = self._table[token].decode("utf-8", "replace")
            return {"id": token, "text": text, "logprob": logprob}

        return orjson.dumps(
            [
                told(one.token, one.logprob) | {"top": [told(*best) for best in one.best]}
                for one in scores
            ]
        )


def _bytes(values: list[bytes]) -> npt.NDArray[Any]:
    array = np.empty(len(values), object)
    array[:] = values
    return array
