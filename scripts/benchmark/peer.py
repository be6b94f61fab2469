"""A peer: a way to serve the same model, told by one module in peers/ and found by its file name.

A module defines PEER. Where a text file of its name lies beside it, that is what the peer's own
virtual environment holds; otherwise the peer runs in the environment that runs the benchmark.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

PEERS = Path(__file__).parent / "peers"
SERVERS = Path(__file__).parent / "servers"
SERIN = "serin"
BEFORE = "before"  # Serin at an earlier commit, if that was asked for
STOCK = "kserve"  # ratios are to this peer, over the same protocol
FLOOR = "echo"  # and to this one, which has no model and no V2


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server is started: what it serves, and the ports that it must take."""

    python: Path
    """The interpreter of the peer's environment."""
    model: str
    """The name that requests ask for."""
    artifact: Path
    """The artifact's folder: what Serin serves, and the native model beside it for the peers."""
    folder: Path
    """A folder of its own, for settings; the working directory unless the peer says otherwise."""
    http_port: int
    grpc_port: int
    metrics_port: int


@dataclass(frozen=True, slots=True)
class Start:
    """The command that serves, and what it finds around it."""

    command: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to serve a model."""

    title: str
    """What it is, with its setting, for the table."""
    transports: tuple[str, ...]
    """Names of scripts.benchmark.traffic.transports, in the order in which they are loaded."""
    start: Callable[[Place], Start]
    requirements: str = ""
    """The file in peers/ that pins its environment, where it is not the peer's own name."""
    newest_python: tuple[int, int] = (3, 13)
    """The newest that it can be installed on; the oldest is Serin's own."""
    echoes: bool = False
    """Its answer is the request's body."""
    loads: tuple[str, ...] = ()
    """The native models that it can serve, by file name; of any artifact, if none is named."""

    def serves(self, artifact: Path) -> bool:
        """Whether an artifact holds a model that it can load."""
        return not self.loads or any((artifact / name).exists() for name in self.loads)

    def pinned(self, name: str) -> Path | None:
        """The requirements of its environment; None where it runs in the benchmark's own."""
        path = PEERS / (self.requirements or f"{name}.txt")
        return path if path.exists() else None


def peers(wanted: Sequence[str] = ()) -> dict[str, Peer]:
    """The peers asked for, or all of them, by name.

    Raises:
        click.UsageError: a name that no module in peers/ has.
    """
    modules = {
        found.name.replace("_", "-"): f"scripts.benchmark.peers.{found.name}"
        for found in pkgutil.iter_modules([str(PEERS)])
    }
    if unknown := set(wanted) - set(modules):
        raise click.UsageError(
            f"no peer {', '.join(sorted(unknown))}; there is {', '.join(sorted(modules))}"
        )
    chosen = [name for name in modules if not wanted or name in wanted]
    return {name: importlib.import_module(modules[name]).PEER for name in chosen}
