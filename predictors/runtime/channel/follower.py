"""Follower: polls a channel, prepares what it proposes, reports, and switches when it is due.

All decisions are the Replica's, and all are taken on the event loop; only I/O and loading are in
threads. Timers of the loop switch and suspend; whoever admits a request calls `act` first where one
is `due`, so a process that was stopped past an instant admits nothing before it did what was due.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol

from predictors.runtime.artifact.artifact import ArtifactError
from predictors.runtime.channel.document import ChannelError
from predictors.runtime.channel.replica import Replica
from predictors.runtime.channel.store import ChannelStore, StoreError

IDLE_SECONDS, ARMED_SECONDS = 1.0, 0.1
"""Between polls; an armed replica must learn of a commit before its instant."""
_JITTER = 0.2
_SPREAD_SECONDS = 1.0
"""Within which replicas begin to load what is proposed: all at once would be felt by requests."""
_TRIES = 3  # of a download, before a proposal is refused
_AGAIN_SECONDS = 5.0  # until what is committed and could not be loaded is tried again
_REFRESH_SECONDS = 10.0  # of a report that has not changed
logger = logging.getLogger("serin.channel")


class Host(Protocol):
    """The server around the engines."""

    def load(self, version: str) -> object:
        """Fetch, verify and load a version, in any thread; raises ArtifactError or StoreError."""

    def add(self, version: str, engine: object) -> None:
        """Keep an engine that was loaded; on the event loop, as all that follows."""

    def switch(self, version: str, generation: int) -> None:
        """Give new requests to another engine."""

    def renumber(self, generation: int) -> None:
        """Say another generation of the engine that serves."""

    def suspend(self, trouble: str) -> None:
        """Answer nobody until `resume`."""

    def resume(self) -> None:
        """Answer again."""

    def shadow(self, version: str, mark: str) -> None:
        """Have an engine answer beside the one that serves, for nobody; no version: none."""

    def drop(self, version: str) -> None:
        """Forget an engine once its requests are answered."""

    def note(self, report: dict[str, Any]) -> None:
        """Show in metrics what the replica reports."""


class Follower:
    """One replica's side of a channel."""

    def __init__(
        self,
        replica: Replica,
        store: ChannelStore,
        host: Host,
        name: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._replica = replica
        self._store = store
        self._host = host
        self._name = name
        self._clock = clock
        self.due = math.inf
        """When `act` has something to do."""
        self._serving = 0, replica.version
        self._engines = {replica.version}
        self._shadowed: tuple[str, str] = "", ""
        self._suspended = ""
        self._told: dict[str, Any] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._poll_now = asyncio.Event()
        self._poller = ThreadPoolExecutor(1, "channel-poll")
        self._reporter = ThreadPoolExecutor(1, "channel-report")
        self._loader = ThreadPoolExecutor(1, "channel-load")
        self._last_error = ""

    async def run(self) -> None:
        """Follow until cancelled."""
        self.act()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._poll())
                tasks.create_task(self._prepare())
                tasks.create_task(self._report())
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for pool in (self._poller, self._reporter, self._loader):
                pool.shutdown(wait=False, cancel_futures=True)

    # --- what happens ---

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            asked = self._clock()
            try:
                document = await loop.run_in_executor(self._poller, self._store.read)
            except (ChannelError, StoreError) as error:
                if str(error) != self._last_error:
                    logger.warning("%s", error)
                self._last_error = str(error)
                self._replica.tick(self._clock())
            else:
                self._last_error = ""
                self._replica.read(document, asked, self._clock())
            self.act()
            pause = ARMED_SECONDS if self._hurried() else IDLE_SECONDS
            self._poll_now.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(1 - _JITTER, 1 + _JITTER)):
                    await self._poll_now.wait()

    def _hurried(self) -> bool:
        replica = self._replica
        if replica.document is None or replica.overdue:
            return True
        now = self._clock()
        keeps = now <= replica.kept_until  # a way back is a second, the reading of it included
        return replica.document.next is not None or keeps or replica.armed(now)

    async def _prepare(self) -> None:
        """Load what is wanted, one after the other."""
        loop = asyncio.get_running_loop()
        failures = 0
        spread: tuple[int, str] | None = None
        while True:
            wanted = self._replica.wanted
            if wanted is None:
                failures = 0
                if self._replica.failures and self._replica.generation < self._due():
                    await asyncio.sleep(_AGAIN_SECONDS)
                    self._replica.retry()
                    continue
                self._changed.clear()
                await self._changed.wait()
                continue
            generation, version = wanted
            if generation > self._due() and spread != wanted:  # proposed: nobody waits for it yet
                spread = wanted
                await asyncio.sleep(random.uniform(0, _SPREAD_SECONDS))
                continue
            try:
                engine = await loop.run_in_executor(self._loader, self._host.load, version)
            except (ArtifactError, StoreError) as error:
                failures += 1
                if failures < _TRIES and isinstance(error, StoreError):
                    await asyncio.sleep(0.5 * failures)
                    continue
                logger.error("generation %d is not prepared: %s", generation, error)  # noqa: TRY400 - a sentence
                self._replica.refused(generation, str(error)[:500])
            except Exception as error:
                logger.exception("generation %d is not prepared", generation)
                self._replica.refused(generation, f"{type(error).__name__}: {error}"[:500])
            else:
                failures = 0
                self._host.add(version, engine)
                self._engines.add(version)
                self._replica.loaded(version, self._clock())
                self._poll_now.set()
            self.act()

    def _due(self) -> int:
        document = self._replica.document
        return document.generation if document else 0

    async def _report(self) -> None:
        """Write a report when it has changed, and now and then to show that somebody is there."""
        loop = asyncio.get_running_loop()
        written: dict[str, Any] = {}
        written_at = 0.0
        while True:
            told = self._told
            if told != written or self._clock() - written_at > _REFRESH_SECONDS:
                dated = {**told, "at": self._clock()}
                try:
                    await loop.run_in_executor(
                        self._reporter, self._store.report, self._name, dated
                    )
                except StoreError as error:
                    logger.warning("%s", error)
                    await asyncio.sleep(ARMED_SECONDS)
                    continue
                written, written_at = told, self._clock()
            await asyncio.sleep(ARMED_SECONDS / 2)

    # --- what is done about it ---

    def act(self) -> None:
        """Bring the server to where the replica is, and come back when something is due."""
        replica, host, now = self._replica, self._host, self._clock()
        self.due = math.inf  # what is called below may ask again
        was_overdue = replica.overdue
        replica.tick(now)
        if replica.overdue and not was_overdue:
            self._poll_now.set()
        self._shadow()  # before a switch: the one that serves is another then
        serving = replica.generation, replica.version
        if serving != self._serving:
            if serving[1] != self._serving[1]:
                host.switch(replica.version, replica.generation)
            else:
                host.renumber(replica.generation)
            logger.info(
                "generation %d is served: %s, %.1f ms after its instant",
                replica.generation,
                replica.version,
                replica.switched_late * 1000,
            )
            self._serving, self._suspended = serving, ""
            host.resume()
        if replica.answers(now):
            if self._suspended:
                host.resume()
                logger.info("answers again")
            self._suspended = ""
        elif (trouble := replica.trouble(now)) != self._suspended:
            logger.warning("answers nobody: %s", trouble)
            host.suspend(trouble)
            self._suspended = trouble
        for version in self._engines - replica.held:
            self._engines.discard(version)
            host.drop(version)
        self._told = replica.report(now)
        host.note(self._told)
        self._changed.set()
        if self._timer is not None:
            self._timer.cancel()
        due = replica.next_at(now)
        if due is not None:
            self.due = due
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(due - now, 0.0), self.act)

    def _shadow(self) -> None:
        coming = self._replica.shadowed
        version = coming.version if coming else ""
        # What answers are known by in the log: serin-shadow's form, and channels.mark's.
        mark = f"{self._store.address.name}-{coming.generation}/{version}" if coming else ""
        if (version, mark) != self._shadowed:
            self._host.shadow(version, mark)
            self._shadowed = version, mark
