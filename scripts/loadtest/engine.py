"""Departures at times that were fixed before, whatever becomes of earlier requests.

Latency counts from the planned time (no coordinated omission): where the server holds everything
up, or every connection is taken, those that had to wait are late in the figures too. One loop, one
core; every answer is a record that a pipe takes to whoever counts.
"""

import asyncio
import itertools
import json
import random
import resource
import ssl
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scripts.loadtest.clock import Alarm
from scripts.loadtest.connection import Connection
from scripts.loadtest.grpc import GrpcConnection
from scripts.loadtest.plan import END, MESSAGE, NAMES, NO_VERSION, RECORD, RECORDS, Plan
from scripts.loadtest.rest import RestConnection

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECT_SECONDS = 10.0
RECONNECT_SECONDS = 0.1
SWEEP_SECONDS = 0.25
"""How often records are written, and requests that waited too long given up."""
START_SECONDS = 0.1
UNREACHABLE = "unreachable"


class Engine:
    """One load, from its first departure to its last answer."""

    def __init__(self, plan: Plan, write: "Callable[[bytes], object]") -> None:
        self._plan = plan
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._loop, self._depart)
        self._requests = itertools.cycle(plan.requests)
        self._arrivals: Iterator[float] = iter(())
        self._next = 0.0
        self._started = 0.0
        self._free: deque[Connection] = deque()
        self._all: set[Connection] = set()
        self._waiting: deque[float] = deque()
        """Planned times of requests that found no connection free."""
        self._under_way = 0
        self._names: tuple[dict[str, int], dict[str, int]] = ({}, {})
        self._records = bytearray()
        self._departed = asyncio.Event()
        self._lateness = [0] * 64
        """Departures by the bits of how many microseconds this loop was late for them."""
        self._stopped = False
        self._tls = _tls(plan)
        self._error = ""
        self.largest_request = max(map(len, plan.requests))
        """Bytes."""

    async def run(self) -> None:
        """Send everything, and wait for the last answers.

        Raises:
            OSError: the target cannot be reached at the start.
        """
        await asyncio.gather(*(self._connect() for _ in range(self._plan.connections)))
        used = resource.getrusage(resource.RUSAGE_SELF)
        begun = time.monotonic()
        self._started = begun + START_SECONDS
        load = self._plan.load
        chance = random.Random(self._plan.seed)
        self._arrivals = load.arrivals(chance) if self._plan.poisson else load.evenly()
        self._next = next(self._arrivals, load.duration)
        self._alarm.set(self._started + self._next)
        sweeping = self._loop.create_task(self._sweep())
        await self._departed.wait()
        # A timeout bounds this: the sweep ends what waits longer.
        while self._under_way or self._waiting:  # noqa: ASYNC110  no hurry at the end
            await asyncio.sleep(SWEEP_SECONDS)
        sweeping.cancel()
        self._alarm.close()
        self._flush()
        seconds = time.monotonic() - begun
        now = resource.getrusage(resource.RUSAGE_SELF)
        cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        last = {"cpu_seconds": cpu, "wall_seconds": seconds, "error": self._error}
        self._say(END, {**last, "late_p99_seconds": self._late()})
        self._stopped = True
        for connection in tuple(self._all):
            connection.close()

    def stop(self) -> None:
        """Send nothing more; what is under way is still waited for."""
        self._next = self._plan.load.duration
        self._departed.set()

    def fail(self, why: str) -> None:
        """End the load: it cannot be what was asked for."""
        self._error = why
        self.stop()

    def opened(self, connection: Connection) -> None:
        """A connection may be used."""
        self._all.add(connection)
        self.offer(connection)

    def closed(self, connection: Connection) -> None:
        """A connection ended; another takes its place."""
        self._all.discard(connection)
        if connection.listed:
            self._free.remove(connection)
            connection.listed = False
        if not self._stopped:
            self._loop.create_task(self._reconnect())

    def answered(
        self, connection: Connection, planned: float, sent: float, outcome: str, version: str
    ) -> None:
        """A request ended."""
        self._under_way -= 1
        self._record(planned, sent, outcome, version)
        self.offer(connection)

    def again(self, planned: float) -> None:
        """A request that the server has not begun, by its own word, goes to another connection."""
        self._under_way -= 1
        self._waiting.appendleft(planned)

    def _depart(self) -> None:
        """Send all that is due, and come back for the next."""
        now = time.monotonic()
        end = self._plan.load.duration
        while self._next < end:
            due = self._started + self._next
            if due > now:
                self._alarm.set(due)
                return
            self._lateness[int((now - due) * 1e6).bit_length()] += 1
            self._send(due, now)
            self._next = next(self._arrivals, end)
        self._departed.set()

    def _send(self, planned: float, now: float) -> None:
        if self._free:
            connection = self._free.popleft()
            self._under_way += 1
            connection.send(next(self._requests), planned, now)
            connection.listed = connection.has_room
            if connection.listed:
                self._free.append(connection)
        elif self._all:
            self._waiting.append(planned)
        else:
            self._record(planned, now, UNREACHABLE, NO_VERSION)

    def offer(self, connection: Connection) -> None:
        """Use a connection's room: for what waits longest, else for what comes next."""
        while connection.has_room and self._waiting:
            self._under_way += 1
            connection.send(next(self._requests), self._waiting.popleft(), time.monotonic())
        if connection.has_room and not connection.listed:
            connection.listed = True
            self._free.append(connection)

    def _record(self, planned: float, sent: float, outcome: str, version: str) -> None:
        outcomes, versions = self._names
        if outcome not in outcomes or version not in versions:
            self._flush()
            outcomes.setdefault(outcome, len(outcomes))
            versions.setdefault(version, len(versions))
            self._say(NAMES, {"outcomes": list(outcomes), "versions": list(versions)})
        self._records += RECORD.pack(
            planned - self._started,
            sent - planned,
            time.monotonic() - planned,
            outcomes[outcome],
            versions[version],
        )

    def _late(self) -> float:
        """What 99 % of departures were late by, to a power of two: the engine's own part."""
        sums = list(itertools.accumulate(self._lateness))
        bits = next(place for place, seen in enumerate(sums) if seen >= 0.99 * sums[-1])
        return (1 << bits) / 1e6

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            before = now - self._plan.timeout_seconds
            for connection in tuple(self._all):
                connection.expire(before)
            while self._waiting and (self._waiting[0] < before or not self._all):
                outcome = "timeout" if self._all else UNREACHABLE
                self._record(self._waiting.popleft(), now, outcome, NO_VERSION)
            self._flush()

    def _flush(self) -> None:
        if self._records:
            self._write(MESSAGE.pack(RECORDS, len(self._records)) + bytes(self._records))
            self._records.clear()

    def _say(self, kind: bytes, document: object) -> None:
        text = json.dumps(document).encode()
        self._write(MESSAGE.pack(kind, len(text)) + text)

    async def _connect(self) -> None:
        plan = self._plan
        kind = GrpcConnection if plan.over_grpc else RestConnection
        async with asyncio.timeout(CONNECT_SECONDS):
            _, made = await self._loop.create_connection(
                lambda: kind(self),
                plan.host,
                plan.port,
                ssl=self._tls,
                server_hostname=plan.authority.partition(":")[0] if self._tls else None,
            )
        if isinstance(made, GrpcConnection):
            await asyncio.wait_for(made.greeted.wait(), CONNECT_SECONDS)

    async def _reconnect(self) -> None:
        while not self._stopped:
            try:
                await self._connect()
            except (OSError, TimeoutError):
                await asyncio.sleep(RECONNECT_SECONDS)
            else:
                return


def _tls(plan: Plan) -> ssl.SSLContext | None:
    if not plan.secure:
        return None
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2" if plan.over_grpc else "http/1.1"])
    return context
