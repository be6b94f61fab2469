"""Replica: what one replica of a channel serves, prepares, keeps and refuses. No I/O, no clock.

Its owner tells it what happened (`read`, `loaded`, `refused`) and what time it is (`tick`), and
does what it says: load `wanted`, serve `version`, compare with what is `shadowed`, drop what is not
in `held`, answer nobody while `trouble` says why not.

Why no two replicas serve two versions for long: a commit is written only after every ready replica
said that it is prepared, and then that it is *armed*: it has read that a commit may come. An armed
replica that could not read for LEASE_SECONDS answers nobody (strict), and stays so until it has
read: the commit that it may have missed is activated no sooner than LEASE_SECONDS after it was
written. It is armed as well while it is new, because the writer may not have counted it yet. What
is not armed needs no store: S3 may be away for as long as it likes. Arming is a step of its own so
that this holds but for some tenths of a second of each swap. A process that did not run
for so long (SIGSTOP, a laptop's lid) was perhaps taken for gone meanwhile: it reads first as well.

A commit back to a kept engine is activated sooner than the lease ends. So a replica that cannot
read just then may serve the newer version for up to LEASE_SECONDS more; it is the one exception.
"""

from dataclasses import dataclass, field
from typing import Any

from predictors.runtime.channel.document import Document, Proposal

LEASE_SECONDS = 2.0
"""How old an armed replica's knowledge may be. The writer's lead is longer (channels.LEAD)."""
NEW_SECONDS = 30.0
"""How long after its first read a replica may not be in the writer's list of ready ones yet."""


@dataclass(slots=True)
class Replica:
    """One replica, which began with `version` loaded. Times are Unix seconds of its own clock."""

    version: str
    """The version that it serves, or would."""
    generation: int = 0
    """The generation that it serves; 0 until it serves one."""
    held: set[str] = field(default_factory=set)
    """Versions with a loaded engine."""
    failures: dict[int, str] = field(default_factory=dict)
    """Generations that cannot be prepared here, and why."""
    document: Document | None = None
    kept: str = ""
    kept_until: float = 0.0
    switched_late: float = 0.0
    """Seconds from `activate_at` to the last switch."""
    overdue: bool = False
    """Armed, and without a read for too long."""
    _read_at: float = 0.0
    _ticked_at: float = 0.0
    _stalled_at: float = 0.0
    _joined_at: float = 0.0

    def __post_init__(self) -> None:
        self.held.add(self.version)

    # --- what happened ---

    def read(self, document: Document, asked_at: float, now: float) -> None:
        """The channel was read; `asked_at` is when it was asked for."""
        if self.document is not None and document.generation < self.document.generation:
            return  # an older copy, of a cache or a writer that was overtaken: as good as no answer
        if self.document is None:
            self._joined_at = now
        self.document, self._read_at = document, asked_at
        self.overdue = asked_at < self._stalled_at
        known = {document.generation, document.next.generation if document.next else 0}
        self.failures = {one: why for one, why in self.failures.items() if one in known}
        self.tick(now)

    def loaded(self, version: str, now: float) -> None:
        """An engine has answered its golden sample."""
        self.held.add(version)
        self.tick(now)

    def refused(self, generation: int, reason: str) -> None:
        """A generation's version cannot be served here."""
        self.failures[generation] = reason

    def retry(self) -> None:
        """Try again what could not be prepared."""
        self.failures.clear()

    def tick(self, now: float) -> None:
        """Do what is due."""
        document = self.document
        if document is None:
            return
        if now - self._ticked_at > LEASE_SECONDS and self._ticked_at:
            self._stalled_at = now
            self.overdue = True
        self._ticked_at = now
        if self.armed(now) and now - self._read_at > LEASE_SECONDS:
            self.overdue = True
        due = now >= document.activate_at and self.generation < document.generation
        if due and document.version in self.held:
            if self.generation and self.version != document.version:
                self.kept = self.version
                self.kept_until = max(now, document.activate_at) + document.keep_seconds
            # A process that starts later is not late.
            self.switched_late = now - document.activate_at if self.generation else 0.0
            self.version, self.generation = document.version, document.generation
        self.held &= self._useful(now)

    # --- what follows ---

    @property
    def wanted(self) -> tuple[int, str] | None:
        """The generation and version to load next."""
        document = self.document
        if document is None:
            return None
        chosen = [(document.generation, document.version)]
        if document.next is not None:
            chosen.append((document.next.generation, document.next.version))
        for generation, version in chosen:
            if version not in self.held and generation not in self.failures:
                return generation, version
        return None

    @property
    def shadowed(self) -> Proposal | None:
        """The prepared proposal whose engine is to answer beside the one that serves."""
        coming = self.document.next if self.document else None
        if coming is None or not coming.shadow or coming.arm or coming.version not in self.held:
            return None
        return coming

    def armed(self, now: float) -> bool:
        """Whether a commit may come that nobody asks this replica about again."""
        document = self.document
        if document is None:
            return False
        coming = document.next
        return (
            coming is not None and coming.arm and coming.version in self.held
        ) or now - self._joined_at < NEW_SECONDS

    def trouble(self, now: float) -> str:
        """Why it must answer nobody, or in `available` what is wrong; empty where nothing is."""
        document = self.document
        if document is None:
            return "the channel was not read yet"
        if now >= document.activate_at and self.generation < document.generation:
            why = self.failures.get(document.generation, "it is not loaded yet")
            return f"generation {document.generation} ({document.version}) is due: {why}"
        if not self.generation:
            coming = document.generation
            return f"generation {coming} is served from {document.activate_at:.3f} on"
        if self.overdue:
            return f"the channel was not read for more than {LEASE_SECONDS:g} s"
        return ""

    def answers(self, now: float) -> bool:
        """Whether it may answer requests."""
        if not self.trouble(now):
            return True
        return self.document is not None and not self.document.strict and self.generation > 0

    def next_at(self, now: float) -> float | None:
        """When `tick` has something to do again; None: not before something happens."""
        document = self.document
        if document is None:
            return None
        times = [document.activate_at, self._read_at + LEASE_SECONDS + 1e-3]
        times.append(self._ticked_at + LEASE_SECONDS / 4)  # so that a stall is one
        times += [self.kept_until + 1e-3] if self.kept in self.held else []
        times += [document.next.expires_at] if document.next is not None else []
        return min((time for time in times if time > now), default=None)

    def report(self, now: float) -> dict[str, Any]:
        """What the writer and people are told."""
        document = self.document
        coming = document.next if document else None
        prepared = self.generation
        if document and document.version in self.held:
            prepared = max(prepared, document.generation)
        if coming and coming.version in self.held:
            prepared = max(prepared, coming.generation)
        return {
            "generation": self.generation,
            "version": self.version,
            "seen": max(document.generation, coming.generation if coming else 0) if document else 0,
            "prepared": prepared,
            "armed": coming.generation
            if coming and coming.arm and coming.version in self.held
            else 0,
            "kept": self.kept if self.kept in self.held and self.kept != self.version else "",
            "failures": {str(one): why for one, why in self.failures.items()},
            "trouble": self.trouble(now),
            "switched_late_seconds": round(self.switched_late, 4),
        }

    def _useful(self, now: float) -> set[str]:
        document = self.document
        useful = {self.version}
        if document is not None:
            useful.add(document.version)
            if document.next is not None and now < document.next.expires_at:
                useful.add(document.next.version)
            going_back = document.next is not None and document.next.version == self.kept
            if (document.next is None or going_back) and self.kept and now <= self.kept_until:
                useful.add(self.kept)
        return useful
