"""What pods use now, for `kubectl top`: metrics.k8s.io of the processes that Linux lists.

A pod's process leads a group, so what it starts counts with it. Where there is no /proc, nothing is
told.
"""

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from controlplane.kubernetes.meta import Object, now

PROCESS = "process://"
"""Before the process id in a container's containerID."""
VERSION = "metrics.k8s.io/v1beta1"
_PROC = Path("/proc")
WINDOW_SECONDS = 15.0
"""CPU is told over at least so long: one look soon after another says the same."""
_seen: dict[int, tuple[tuple[float, float], tuple[float, float]]] = {}
"""Group → two looks: when, and the CPU seconds it had used by then."""


def pods(listed: Iterable[Object]) -> Iterator[Object]:
    """PodMetrics of the pods whose process is known and runs."""
    groups, at = _groups(), time.monotonic()
    for pod in listed:
        containers = (pod.get("status") or {}).get("containerStatuses") or ()
        for container in containers[:1]:
            _, _, text = str(container.get("containerID", "")).partition(PROCESS)
            group = int(text) if text.isdecimal() else 0
            if group not in groups:
                continue
            seconds, memory, age = groups[group]
            older, newer = _seen.get(group, ((at - age, 0.0), (at - age, 0.0)))
            if at - newer[0] >= WINDOW_SECONDS:
                older, newer = newer, (at, seconds)
            _seen[group] = older, newer
            window, used = max(at - older[0], 0.01), older[1]
            metadata = pod["metadata"]
            cpu = f"{max(seconds - used, 0) / window * 1e9:.0f}n"
            yield {
                "kind": "PodMetrics",
                "apiVersion": VERSION,
                "metadata": {
                    name: metadata[name]
                    for name in ("name", "namespace", "labels", "creationTimestamp")
                    if name in metadata
                },
                "timestamp": now(),
                "window": f"{window:.0f}s",
                "containers": [
                    {
                        "name": container["name"],
                        "usage": {"cpu": cpu, "memory": f"{memory // 1024}Ki"},
                    }
                ],
            }
    for group in _seen.keys() - groups.keys():
        del _seen[group]


def capacity() -> dict[str, str]:
    """A node's CPUs and memory."""
    found = {"cpu": str(os.cpu_count() or 1)}
    if "SC_PHYS_PAGES" in os.sysconf_names:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        found["memory"] = f"{pages * size // 1024}Ki"
    return found


def _groups() -> dict[int, tuple[float, int, float]]:
    """Process group → CPU seconds, resident bytes, and its age in seconds."""
    found: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    booted = time.clock_gettime(time.CLOCK_MONOTONIC)
    for path in _PROC.glob("[0-9]*/stat"):
        try:
            # The command's name is in parentheses and may hold anything.
            fields = path.read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        own = found[int(fields[2])]
        own[0] += (int(fields[11]) + int(fields[12])) / tick
        own[1] += int(fields[21]) * page
        own[2] = max(own[2], booted - int(fields[19]) / tick)
    return {group: (own[0], int(own[1]), own[2]) for group, own in found.items()}
