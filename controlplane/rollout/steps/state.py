"""Where a rollout is: everything an engine must know to go on where another one was killed. Pure.

It is stored as one annotation of a Lease of the model's, not of the InferenceService: KServe copies
an InferenceService's annotations to its pods, so every note there would roll all pods anew.
"""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

from controlplane.rollout.plan import Plan


class Phase(StrEnum):
    """What the engine does now. The order in which a good rollout passes them."""

    PREPARING = "Preparing"
    """The canary starts and has no weight."""
    SHADOWING = "Shadowing"
    """The canary answers copies of requests; no user gets its answers."""
    SCALING = "Scaling"
    """The canary gets the replicas that the step's weight needs."""
    SHIFTING = "Shifting"
    """The canary gets the step's weight, until the route says so."""
    JUDGING = "Judging"
    """Both versions are compared."""
    RENEWING = "Renewing"
    """Stable, which has no weight, is rolled to the new version, or back to the old one."""
    DRAINING = "Draining"
    """The canary gives its weight to stable, until the route says so."""
    REMOVING = "Removing"
    """The canary goes, and scaling is as it was before."""
    DONE = "Done"


JUDGED = frozenset({Phase.SHADOWING, Phase.JUDGING})
"""Phases that end by a verdict."""


class Outcome(StrEnum):
    """How it ended, or is to end."""

    PROMOTED = "Promoted"
    ABORTED = "Aborted"
    LEFT = "SteppedBack"
    """Somebody else changed what is served; the engine left it as they made it."""


@dataclass(frozen=True, slots=True)
class State:
    """One rollout."""

    id: str
    stable: str
    """The storageUri served before."""
    canary: str
    """The storageUri that is rolled out."""
    spec: str
    """A digest of the rest of the InferenceService's spec, to notice other people's edits."""
    plan: Plan
    started: float
    """Unix time, as all times here."""
    phase: Phase = Phase.PREPARING
    since: float = 0.0
    """When the phase began; while judging, from when on requests count."""
    step: int = 0
    weight: int = 0
    """The canary's, in percent, as the route last had it before the step's."""
    outcome: Outcome | None = None
    reason: str = ""
    paused: bool = False
    forced: bool = False
    """Somebody said `promote`: steps are not judged any more."""
    replicas: dict[str, int] = field(default_factory=dict)
    """ScaledObject → the minReplicaCount it had before; given back at the end."""
    absent_since: float = 0.0
    """While judging: since when the canary gets or answers nothing; 0 where it does."""
    verdict: dict[str, Any] = field(default_factory=dict)
    """The latest; see judgement.Verdict."""
    shadow: dict[str, Any] = field(default_factory=dict)
    """What the comparison of mirrored requests found; see answers.Compared."""
    steps: tuple[dict[str, Any], ...] = ()
    """What was judged: percent, seconds, decision, reason, requests and errors of the canary; 0 %
    are the mirrored requests."""

    @property
    def percent(self) -> int:
        """The weight of the current step; 0 of a canary that no user sees, or ever saw."""
        unseen = self.outcome is Outcome.ABORTED and not self.weight
        return 0 if unseen or self.phase is Phase.SHADOWING else self.plan.steps[self.step]

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self.phase is Phase.DONE

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {**asdict(self), "plan": self.plan.as_json(), "steps": list(self.steps)}

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Self:
        """From what `as_json` gave."""
        outcome = stored["outcome"]
        return cls(
            **{
                **stored,
                "plan": Plan.of(stored["plan"]),
                "phase": Phase(stored["phase"]),
                "outcome": Outcome(outcome) if outcome else None,
                "steps": tuple(stored["steps"]),
            }
        )
