"""The engines of a process that follows a channel: loaded side by side, switched, forgotten."""

import asyncio
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from predictors.runtime.artifact.artifact import ArtifactError, Manifest
from predictors.runtime.channel.document import Address
from predictors.runtime.channel.follower import Follower
from predictors.runtime.channel.replica import Replica
from predictors.runtime.channel.store import ChannelStore
from predictors.runtime.dataplane.model import V2Model
from predictors.runtime.dataplane.service import Service
from predictors.runtime.dataplane.streaming import StreamingModel
from predictors.runtime.observe.together import Together
from predictors.runtime.process.artificial_load import slow_down
from predictors.runtime.process.engine import metrics_of, service_of
from predictors.runtime.process.memory import memory_limit
from predictors.runtime.process.settings import Settings

_NICENESS = 15
_GIL_SECONDS = 0.0003
"""How long requests wait for the GIL while a version is loaded; 5 ms else."""
_DRAIN_SECONDS = 120.0
"""How long a version that is not kept any more may go on with what it had admitted."""
_SIZE_IN_MEMORY = 2  # an engine is at most so much larger than its files
logger = logging.getLogger("serin.channel")

Make = Callable[[Path, Manifest], V2Model]


class Engines:
    """What a Follower acts on.

    Args:
        make: A model of the served class; not loaded.
        serve: Gives new requests to a service; on the event loop.
        first: The service of the version that the process began with.
        settings: Of the process.
        shown: What /metrics shows.
    """

    def __init__(
        self,
        make: Make,
        serve: Callable[[Service], None],
        first: Service,
        settings: Settings,
        shown: Together,
    ) -> None:
        self._make = make
        self._serve = serve
        self._settings = settings
        self._shown = shown
        self._current = first
        self._services = {first.model.version: first}
        self._own_folder = settings.channel_dir is None
        self._folder = settings.channel_dir or Path(tempfile.mkdtemp(prefix="serin-channel-"))
        self._store = ChannelStore(Address.of(settings.channel), self._folder)
        self._low = ThreadPoolExecutor(1, "channel-load-low", initializer=_lower_priority)
        self._draining: set[asyncio.Task[None]] = set()
        self._switched_at = 0.0

    def follower(self) -> Follower:
        """What follows the channel with these engines; nobody is answered before it was read."""
        self._current.suspend("the channel was not read yet")
        replica = Replica(self._current.model.version)
        return Follower(replica, self._store, self, self._settings.replica)

    def load(self, version: str) -> Service:
        """Fetch, verify, load and warm a version.

        What starts threads of its own is loaded at normal priority: they would inherit the low one.
        """
        usual = sys.getswitchinterval()
        sys.setswitchinterval(_GIL_SECONDS)
        try:
            folder, manifest = self._low.submit(self._store.fetch, version).result()
            self._check_memory(folder, version)
            model = self._make(folder, manifest)
            if isinstance(model, StreamingModel) or self._settings.threads > 1:
                model.load()
            else:
                self._low.submit(model.load).result()
            if self._settings.artificial_cpu_seconds:
                slow_down(model, self._settings.artificial_cpu_seconds)
            return service_of(model, self._settings, metrics_of(model))
        finally:
            sys.setswitchinterval(usual)

    def add(self, version: str, engine: object) -> None:
        assert isinstance(engine, Service)  # noqa: S101 - what `load` gave
        self._services[version] = engine
        self._shown.add(engine.metrics)

    def switch(self, version: str, generation: int) -> None:
        service = self._services[version]
        service.serve_generation(generation)
        service.last_request = self._current.last_request
        self._current = service
        self._switched_at = time.time()
        self._serve(service)

    def renumber(self, generation: int) -> None:
        self._switched_at = time.time()
        self._current.serve_generation(generation)

    def suspend(self, trouble: str) -> None:
        self._current.suspend(trouble)

    def resume(self) -> None:
        for service in self._services.values():
            service.resume()

    def shadow(self, version: str, mark: str) -> None:
        if self._current.copies is not None:
            self._current.copies.close()
        self._current.copies = (
            self._services[version].copies_of(mark.encode(), _lower_priority) if version else None
        )

    def drop(self, version: str) -> None:
        task = asyncio.create_task(self._forget(version, self._services.pop(version)))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    def note(self, report: dict[str, Any]) -> None:
        told = {"switched_at": self._switched_at, "troubled": bool(report["trouble"])}
        self._shown.note(report | told)

    def close(self) -> None:
        """Finish what the engines have; the one that serves is its owner's to close."""
        for service in self._services.values():
            if service is not self._current:
                service.close()
        self._low.shutdown(wait=False, cancel_futures=True)
        if self._own_folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _forget(self, version: str, service: Service) -> None:
        """Let its requests end, then free what it holds, though somebody may still refer to it."""
        until = time.monotonic() + _DRAIN_SECONDS
        while service.in_flight and time.monotonic() < until:  # noqa: ASYNC110 - requests count down in any thread
            await asyncio.sleep(0.05)
        if service.in_flight:
            logger.warning("%s is dropped with %d requests", version, service.in_flight)
        self._shown.remove(service.metrics)
        await asyncio.to_thread(service.close)
        service.forget()
        if version not in self._services:
            await asyncio.to_thread(self._store.discard, version)
        logger.info("%s is dropped", version)

    def _check_memory(self, folder: Path, version: str) -> None:
        limit = memory_limit()
        if limit is None:
            return
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        held = _resident()
        if held + _SIZE_IN_MEMORY * size > limit:
            raise ArtifactError(
                f"{version} takes some {_SIZE_IN_MEMORY * size >> 20} MiB beside the version that "
                f"serves, and {max(limit - held, 0) >> 20} of {limit >> 20} MiB are free: raise "
                "the memory limit, or roll it out by storageUri"
            )


def _lower_priority() -> None:
    """Let this thread have what the others leave; Linux alone has priorities of threads."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def _resident() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # no Linux
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
