"""`--workers N`: several processes of one predictor behind one REST, gRPC and metrics port.

The parent has imported everything and forks, so code is shared memory. Each worker loads the model
itself and listens once that has answered its golden sample; SO_REUSEPORT spreads connections over
those that listen. What workers count is in memory that all share: the parent answers /metrics with
the sums, and what a killed worker had counted stays counted. A worker that dies is replaced.

The parent has no thread of its own: a fork would take none of them along, and their locks.
"""

import gc
import logging
import mmap
import os
import selectors
import signal
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from predictors.runtime.observe.metrics import ModelMetrics
from predictors.runtime.observe.shared_metrics import WorkersMetrics, metrics_server

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SLOT_BYTES = (
    4096  # of shared memory for the numbers of one worker: up to 200 of 8 bytes, and a page
)
# Before a worker that failed while it loaded is tried again; doubled each time.
_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS = 1.0, 30.0
logger = logging.getLogger("serin.workers")


class Workers:
    """A parent and its workers."""

    def __init__(
        self,
        count: int,
        serve: Callable[[ModelMetrics], None],
        model: str,
        version: str,
        engine: str,
        classes: Sequence[str] = (),
        *,
        leave_seconds: float,
    ) -> None:
        memory = memoryview(mmap.mmap(-1, count * _SLOT_BYTES))
        self._serve = serve  # loads and serves until SIGTERM, counting in the metrics it is given
        self._parts = [
            ModelMetrics(
                model,
                version,
                engine,
                memory[place * _SLOT_BYTES : (place + 1) * _SLOT_BYTES],
                classes,
            )
            for place in range(count)
        ]
        self._leave_seconds = leave_seconds  # what a worker without a parent has to drain
        self._pids: dict[int, int] = {}  # place by process id
        self._served = [False] * count  # whether the place ever had a worker that was ready
        self._failures = [0] * count  # in a row, before it was ready
        self._due: dict[int, float] = {}  # when a place is to be filled again: time.monotonic()
        self._stopping = False
        self._exit_code = 0
        self._metrics = WorkersMetrics(
            lambda: ModelMetrics(model, version, engine, classes=classes), self._parts, self._pids
        )
        # Workers read from it; its end tells them that the parent is gone, however it went.
        self._alive_reader, self._alive_writer = os.pipe()

    def run(self, host: str, metrics_port: int) -> int:
        """Start the workers, answer /metrics and replace what dies; the exit code after SIGTERM."""
        waking, wake = os.pipe()
        for one in (waking, wake):
            os.set_blocking(one, False)
        with (
            selectors.DefaultSelector() as selector,
            metrics_server(host, metrics_port, self._metrics) as server,
        ):
            self._in_child: Callable[[], None] = lambda: _leave(selector, server, waking, wake)
            selector.register(server, selectors.EVENT_READ, server.handle_request)
            selector.register(waking, selectors.EVENT_READ, lambda: os.read(waking, 4096))
            for number in _SIGNALS:
                signal.signal(number, self._stop)
            signal.signal(signal.SIGCHLD, lambda *_: None)  # so that it writes to `wake`
            signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
            gc.collect()
            gc.freeze()  # a collection in a worker would write to, and so copy, what all share
            for place in range(len(self._parts)):
                self._start(place)
            while self._pids or (self._due and not self._stopping):
                for key, _ in selector.select(self._patience()):
                    key.data()
                self._note_ready()
                self._reap()
                self._refill()
            signal.set_wakeup_fd(-1)
        logger.info("all workers stopped", extra={"exit_code": self._exit_code})
        return self._exit_code

    def _start(self, place: int) -> None:
        self._parts[place].begin_process()
        # A signal between fork and the next lines would find the parent's handlers in the child.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid:
            self._pids[pid] = place
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            logger.info("worker started", extra={"worker": place, "pid": pid})
            return
        code: object = 1
        try:
            self._in_child()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            os.close(self._alive_writer)
            threading.Thread(target=self._follow_parent, daemon=True).start()
            self._serve(self._parts[place])
            code = 0
        except SystemExit as end:
            code = end.code
        except BaseException:  # this process must end here, not in the parent's code
            logger.exception("worker failed", extra={"worker": place})
        finally:
            sys.stdout.flush()
            os._exit(code if isinstance(code, int) else 1)

    def _follow_parent(self) -> None:
        """In a worker: leave when the parent has gone without a word, whatever is computed.

        With a parent, it is for whoever ends that one to lose patience.
        """
        os.read(self._alive_reader, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(self._leave_seconds)
        logger.error("the parent is gone and a call does not end: ending without its answer")
        os._exit(1)

    def _stop(self, *_: Any) -> None:
        """Let every worker drain; they answer what they have."""
        self._stopping = True
        for pid in self._pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _note_ready(self) -> None:
        for place in self._pids.values():
            if self._parts[place].is_loaded:
                self._served[place] = True
                self._failures[place] = 0

    def _reap(self) -> None:
        """See which workers have ended, and decide what that means."""
        for pid, place in list(self._pids.items()):
            ended, status, used = os.wait4(pid, os.WNOHANG)
            if not ended:
                continue
            del self._pids[pid]
            self._metrics.ended(used.ru_utime + used.ru_stime)
            code = os.waitstatus_to_exitcode(status)
            was_ready = self._parts[place].is_loaded
            self._parts[place].begin_process()
            if self._stopping:
                self._exit_code = self._exit_code or abs(code)
                continue
            facts = {"worker": place, "pid": pid, "exit_code": code}
            if not (self._served[place] or was_ready):
                logger.error("worker cannot start; its message is above", extra=facts)
                self._exit_code = 1
                self._stop()
                continue
            self._served[place] = True
            delay = 0.0
            if not was_ready:
                delay = _FIRST_DELAY_SECONDS * 2.0 ** self._failures[place]
                self._failures[place] += 1
            self._due[place] = time.monotonic() + min(delay, _LONGEST_DELAY_SECONDS)
            self._metrics.restarts += 1
            logger.warning("worker died, starting another", extra=facts)

    def _refill(self) -> None:
        now = time.monotonic()
        for place, due in list(self._due.items()):
            if now >= due and not self._stopping:
                del self._due[place]
                self._start(place)

    def _patience(self) -> float | None:
        """Seconds until the next worker is to be started; None: until something happens."""
        if not self._due or self._stopping:
            return None
        return max(0.0, min(self._due.values()) - time.monotonic())


def _leave(selector: selectors.BaseSelector, server: socketserver.TCPServer, *pipes: int) -> None:
    """In a worker: forget what is the parent's."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    selector.close()
    server.server_close()
    for one in pipes:
        os.close(one)
