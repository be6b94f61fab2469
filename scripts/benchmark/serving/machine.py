"""The machine that a figure belongs to: what it is, which cores are whose, and how quiet it was."""

import os
import platform
import re
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
STAT = Path("/proc/stat")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
QUIET_LOAD = 0.5  # processes that wanted to run, averaged over the last minute
QUIET_SHARE = 0.05  # of the two cores, taken by others while the benchmark ran


@dataclass(frozen=True, slots=True)
class Cores:
    """The core of the servers and that of the load; None where nothing can be pinned."""

    server: int | None
    load: int | None

    @classmethod
    def choose(cls) -> "Cores":
        """The first core, and the next one that is not the same physical core if there is one."""
        if not hasattr(os, "sched_getaffinity"):  # macOS
            return cls(None, None)
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            return cls(None, None)
        server, *others = allowed
        apart = [core for core in others if core not in _siblings(server)]
        return cls(server, (apart or others)[0])

    @property
    def pinned(self) -> bool:
        """Whether server and load are kept apart."""
        return self.server is not None

    @contextmanager
    def of_server(self) -> Iterator[None]:
        """Processes started inside run on the server's core: a child inherits where it may run."""
        _pin(self.server)
        try:
            yield
        finally:
            _pin(self.load)

    @contextmanager
    def of_load(self) -> Iterator[None]:
        """Keeps this process and the load generators that it starts on the load's core."""
        before = os.sched_getaffinity(0) if self.pinned else None
        _pin(self.load)
        try:
            yield
        finally:
            if before:
                os.sched_setaffinity(0, before)


def _pin(core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})


def _siblings(core: int) -> set[int]:
    """Logical cores that share a physical one with `core`; Linux writes them as 0,4 or 0-1."""
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    if not path.exists():
        return {core}
    siblings: set[int] = set()
    for part in path.read_text().strip().split(","):
        first, _, last = part.partition("-")
        siblings.update(range(int(first), int(last or first) + 1))
    return siblings


def describe() -> dict[str, Any]:
    """What a reader must know to compare figures of two machines."""
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory_bytes / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    if CPUINFO.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", CPUINFO.read_text(), re.MULTILINE)
        return found[1] if found else platform.machine()
    named = subprocess.run(
        ["sysctl", "-n", "machdep.cpu.brand_string"], check=False, capture_output=True, text=True
    )
    return named.stdout.strip() or platform.machine()


def load_average() -> float:
    """Of the last minute."""
    return round(os.getloadavg()[0], 2)


class OthersShare:
    """How much of the used cores went to processes that are not the benchmark's."""

    def __init__(self, cores: Cores) -> None:
        self._names = {f"cpu{core}" for core in (cores.server, cores.load) if core is not None}
        self._started = time.monotonic()
        self._busy = self._busy_seconds()
        self._own = _own_seconds()

    def measure(self) -> float | None:
        """The share since this was made, 0…1; None where the system does not count by core."""
        if self._busy is None or not self._names:
            return None
        busy = self._busy_seconds()
        if busy is None:
            return None
        elapsed = (time.monotonic() - self._started) * len(self._names)
        others = (busy - self._busy) - (_own_seconds() - self._own)
        return round(max(0.0, others / elapsed), 3)

    def _busy_seconds(self) -> float | None:
        """Time that programs ran on the cores; interrupts serve the load and are left out."""
        if not STAT.exists():
            return None
        lines = (line.split() for line in STAT.read_text().splitlines())
        # user, nice, system and, eighth, what the hypervisor gave to other machines (steal)
        ticks = [
            sum(map(int, (*fields[1:4], fields[8])))
            for fields in lines
            if fields and fields[0] in self._names
        ]
        return sum(ticks) / TICKS_PER_SECOND


def _own_seconds() -> float:
    """Processor time of this process and of all its children that have ended."""
    times = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in times)
