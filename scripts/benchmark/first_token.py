"""How long a short prompt waits for its first token behind long ones, in times of one token.

One thread reads all streams as bytes: a client that parsed sixteen of them would be measured too.
"""

import json
import selectors
import socket
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from scripts.benchmark.errors import NoAnswerError

LONG_PROMPTS = 16
ANSWER_SECONDS = 300  # a machine may be busy with other things
_EVENT, _DONE = b"data: {", b'"done":true'
LONG = "One day a little girl named Lily went to the park with her mom and her dog. " * 6
LONG_TOKENS, SHORT_TOKENS = 100, 8  # new ones: the first long one goes on when the last begins


@dataclass(slots=True)
class _Stream:
    """One request, and when its events came."""

    sock: socket.socket
    sent: float
    times: list[float] = field(default_factory=list)
    ended: bool = False
    _read: bytes = b""

    def read(self) -> None:
        """Take what has come; events in one piece came together."""
        piece = self.sock.recv(1 << 16)
        self._read += piece
        new = self._read.count(_EVENT) - len(self.times)
        self.times += [time.perf_counter()] * new
        self.ended = not piece or _DONE in self._read


def first_token(port: int, *, answering: bool, text: str = "The") -> dict[str, float]:
    """One measurement.

    Args:
        port: of a server of causal-lm.
        answering: whether all the long ones are being answered when the short prompt comes; or
            else only the first of them, while the prompts of the others are still read.
        text: the short prompt.

    Returns:
        `token_ms`: between two tokens of a long one, while all are answered; `first_token_ms` of
        the short one; `token_times`, their ratio.

    Raises:
        NoAnswerError: a stream ended early or took too long.
    """
    with selectors.DefaultSelector() as ready:
        prompts = [f"{number} {LONG}" for number in range(LONG_PROMPTS)]
        long = [_send(ready, port, prompt, LONG_TOKENS) for prompt in prompts]
        short: _Stream | None = None
        enough = all if answering else any
        deadline = time.perf_counter() + ANSWER_SECONDS
        while short is None or not all(stream.ended for stream in (*long, short)):
            if time.perf_counter() > deadline:
                raise NoAnswerError(f"{LONG_PROMPTS} streams did not end in {ANSWER_SECONDS} s")
            for key, _ in ready.select(timeout=1):
                key.data.read()
                if key.data.ended:
                    ready.unregister(key.fileobj)
                    key.data.sock.close()
            if short is None and enough(stream.times for stream in long):
                short = _send(ready, port, text, SHORT_TOKENS)
    if not all(len(stream.times) > 1 for stream in (*long, short)):
        raise NoAnswerError("a stream ended after its first token")
    started = max(stream.times[0] for stream in long)
    since = [[at for at in stream.times if at >= started] for stream in long]
    each = [_seconds_each(times) for times in since if len(times) > 1]
    if not each:
        raise NoAnswerError("no two answers were generated side by side")
    token = median(each)
    first = short.times[0] - short.sent
    return {"token_ms": token * 1e3, "first_token_ms": first * 1e3, "token_times": first / token}


def _seconds_each(times: list[float]) -> float:
    return (times[-1] - times[0]) / (len(times) - 1)


def _send(ready: selectors.BaseSelector, port: int, text: str, tokens: int) -> _Stream:
    document: dict[str, Any] = {"text_input": text, "max_tokens": tokens, "truncate": True}
    body = json.dumps(document).encode()
    sock = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
    head = (
        "POST /v2/models/causal-lm/generate_stream HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    stream = _Stream(sock, time.perf_counter())
    sock.sendall(head.encode() + body)
    ready.register(sock, selectors.EVENT_READ, stream)
    return stream
