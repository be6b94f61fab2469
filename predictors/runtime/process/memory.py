"""How much memory this process may take, and how much of that may be held for its clients."""

import ctypes
import resource
from pathlib import Path

_MOST_HELD = 128 << 20
_LEAST_HELD = 16 << 20
_SHARE = 4  # reading, computing and answering a request takes several times what it holds
_GROUPS = Path("/sys/fs/cgroup")

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # of glibc's mallopt
_MAPPED_BYTES = 1 << 20


def share_arena() -> None:
    """Have glibc keep one arena for all threads, and give large blocks back when they are freed.

    Each thread's own would keep what one large request took: a tenth of a small predictor or more.
    Threads rarely allocate at once here, where Python's lock lets one run. Call it before any is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)


def held_limit(workers: int) -> int:
    """Bytes to hold for clients at most: a quarter of what the memory limit leaves free.

    Args:
        workers: the processes that share the limit.
    """
    limit = memory_limit()
    if limit is None:
        return max(_LEAST_HELD, _MOST_HELD // workers)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    return max(_LEAST_HELD, min(_MOST_HELD, (limit // workers - resident) // _SHARE))


def memory_limit(own: Path = Path("/proc/self/cgroup"), groups: Path = _GROUPS) -> int | None:
    """The least limit of this process' control groups, version 1 or 2; None where there is none."""
    limits = []
    try:
        lines = own.read_text().splitlines()
    except OSError:  # no Linux
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = groups / controllers
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        folder = root / path.lstrip("/")
        while folder.is_relative_to(root):
            limits += _limit(folder / name)
            folder = folder.parent
    return min(limits, default=None)


def _limit(file: Path) -> list[int]:
    try:
        text = file.read_text().strip()
    except OSError:  # no limit at the root, or the folder of another namespace
        return []
    number = int(text) if text.isdigit() else 0
    return [number] if 0 < number < 1 << 50 else []  # version 1 writes a huge number for none
