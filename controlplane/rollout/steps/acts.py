"""What a rollout may do to a cluster, and what it says: data, for effects/cluster.py. Pure."""

from dataclasses import dataclass

from controlplane.rollout.steps.state import State


@dataclass(frozen=True, slots=True)
class Act:
    """One change to the cluster."""


@dataclass(frozen=True, slots=True)
class SetCanary(Act):
    """Write spec.canary."""

    uri: str
    percent: int


@dataclass(frozen=True, slots=True)
class RemoveCanary(Act):
    """Empty spec.canary."""


@dataclass(frozen=True, slots=True)
class StartMirror(Act):
    """Make the HTTPRoute that copies requests to the canary and marks them, parked: mirror.py."""

    rollout: str
    """Its id."""
    uri: str
    """The canary's."""


@dataclass(frozen=True, slots=True)
class OpenMirror(Act):
    """Have it copy."""


@dataclass(frozen=True, slots=True)
class ParkMirror(Act):
    """Have it copy none."""


@dataclass(frozen=True, slots=True)
class EndMirror(Act):
    """Remove it."""


@dataclass(frozen=True, slots=True)
class SetStable(Act):
    """Write the version that stable serves."""

    uri: str


@dataclass(frozen=True, slots=True)
class Wake(Act):
    """Have KEDA scale the canary, whose Deployment is there now."""


@dataclass(frozen=True, slots=True)
class Scale(Act):
    """Have at least so many replicas."""

    canary: bool
    replicas: int


@dataclass(frozen=True, slots=True)
class GiveBack(Act):
    """Give ScaledObjects the minReplicaCount that they had."""

    least: dict[str, int]


@dataclass(frozen=True, slots=True)
class Note:
    """What is told as an Event and in the log."""

    reason: str
    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Next:
    """Where the rollout is now, and what is to be done for it before the next look."""

    state: State
    act: Act | None = None
    notes: tuple[Note, ...] = ()
