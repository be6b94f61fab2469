"""Requests that a second engine answers beside the one that serves, for nobody."""

import queue
import threading
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import orjson

from predictors.runtime.dataplane.model import V2Model
from predictors.runtime.dataplane.shadow import Copies, Shadow
from predictors.runtime.observe.logs import RequestLog
from predictors.runtime.v2.record import Record
from predictors.runtime.v2.signature import Arrays, Request
from predictors.runtime.v2.spec import TensorSpec

OUTPUTS = (TensorSpec("y", "FP32", (-1,)),)
MARK = b"stable-2/0123456789ab"


class Engine:
    """A model that answers as a test says."""

    def __init__(self, infer: Callable[[Arrays], Arrays]) -> None:
        self.infer = infer

    def check_outputs(self, outputs: Arrays, rows: int) -> Arrays:
        """Take them as they are."""
        assert len(outputs["y"]) == rows
        return outputs


class Lines:
    """A log that is read."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def answered(self, line: bytes) -> None:
        """Take a line."""
        self._lines.put(line)

    def next(self) -> dict[str, Any]:
        """The next line, once there is one."""
        line: dict[str, Any] = orjson.loads(self._lines.get(timeout=60))
        return line


def copies(infer: Callable[[Arrays], Arrays], lines: Lines) -> Copies:
    """Copies that such an engine answers."""
    shadow = Shadow("m", "0123456789ab", OUTPUTS)
    model, log = cast("V2Model", Engine(infer)), cast("RequestLog", lines)
    return Copies(model, shadow, log, MARK, lambda: None)


def ask(copied: Copies, value: float, client_id: str = "") -> Record:
    """Have a request copied, if there is room."""
    record = Record("rest")
    record.client_id = client_id
    copied.take(record, Request("", {"x": np.array([value], np.float32)}, 1, ()))
    return record


def test_both_answers_are_known_by_one_id_and_one_mark() -> None:
    """The request is marked, and its copy's line has the mark, the id and the answer."""
    lines = Lines()
    copied = copies(lambda arrays: {"y": arrays["x"] * 2}, lines)
    record, line = ask(copied, 1.0, "from-envoy"), lines.next()
    assert record.shadow == MARK
    assert line["shadow"] == MARK.decode()
    assert line["x_request_id"] == record.client_id == "from-envoy"
    assert (line["model_version"], line["outcome"]) == ("0123456789ab", "ok")
    assert line["digest"]


def test_a_request_without_an_id_is_given_one() -> None:
    """Else nobody could tell which answers belong together."""
    lines = Lines()
    record = ask(copies(lambda arrays: {"y": arrays["x"]}, lines), 1.0)
    assert record.client_id
    assert lines.next()["x_request_id"] == record.client_id


def test_what_comes_while_a_copy_is_computed_is_not_copied() -> None:
    """A slow engine holds nobody up, and nothing waits for it in memory."""
    lines, go = Lines(), threading.Event()

    def infer(arrays: Arrays) -> Arrays:
        assert go.wait(60)
        return {"y": arrays["x"]}

    copied = copies(infer, lines)
    first, second = ask(copied, 1.0, "first"), ask(copied, 2.0, "second")
    go.set()
    assert (first.shadow, second.shadow) == (MARK, b"")
    assert lines.next()["x_request_id"] == "first"
    copied.close()


def test_an_engine_that_raises_is_compared_as_one_that_failed() -> None:
    """The exception ends with the copy, and the next request is copied again."""
    lines = Lines()

    def infer(arrays: Arrays) -> Arrays:
        if arrays["x"][0] < 0:
            raise RuntimeError("no negative numbers")
        return {"y": arrays["x"]}

    copied = copies(infer, lines)
    ask(copied, -1.0)
    failed = lines.next()
    assert (failed["outcome"], failed["status"]) == ("error", 500)
    assert "digest" not in failed
    while not ask(copied, 1.0).shadow:
        pass  # it is idle again in a moment
    assert lines.next()["outcome"] == "ok"


def test_nothing_is_copied_once_it_is_closed() -> None:
    """A proposal that was taken back costs nothing more."""
    copied = copies(lambda arrays: {"y": arrays["x"]}, Lines())
    copied.close()
    assert not ask(copied, 1.0).shadow
