"""An answer and its explanation: the rule that decided, what it saw, and what else would be."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """What would have been decided without one rule."""

    replicas: int
    without: str
    """The rule in words: the 300 s scale-down window."""

    def __str__(self) -> str:
        """Finish the sentence: "3 replicas; would be 7 without …"."""
        return f"would be {self.replicas} without {self.without}"


@dataclass(frozen=True, slots=True)
class Proposal:
    """The replicas that one HPA metric asks for."""

    metric: str
    """As the HPA's messages name it."""
    replicas: int = 0
    usage: int = 0
    """Thousandths, or percent for a utilization."""
    target: int = 0
    within_tolerance: bool = False
    error: str = ""
    stands_for: str = ""
    """What stands in for a metric that fails, in words."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one controller decided at one time."""

    by: str
    """HPA or KEDA."""
    rule: str
    """The reason that the controller itself gives, such as ScaleDownStabilized."""
    current: int
    desired: int
    message: str
    active_reason: str = ""
    """KEDA's reason for the condition Active: ScalerActive, ScalerNotActive or ScalerCooldown."""
    event: str = ""
    """The text of the Event, where the controller would write one."""
    proposals: tuple[Proposal, ...] = ()
    counterfactuals: tuple[Counterfactual, ...] = field(default=())
    scaling_active: tuple[bool, str, str] = (True, "ValidMetricFound", "")
    able_to_scale: tuple[bool, str, str] = (True, "ReadyForNewScale", "")
    scaling_limited: tuple[bool, str, str] = (False, "DesiredWithinRange", "")

    @property
    def changes(self) -> bool:
        """Whether the replicas change."""
        return self.desired != self.current

    def explain(self) -> str:
        """One line for a person."""
        arrow = f"{self.current} → {self.desired}" if self.changes else f"{self.current} stays"
        parts = [f"{self.by} {self.rule}: {arrow}", *self.reasons]
        return "; ".join([*parts, *map(str, self.counterfactuals)])

    @property
    def reasons(self) -> list[str]:
        """The message, and what each metric asks for."""
        asked = [_seen(proposal) for proposal in self.proposals]
        return [self.message, *asked] if self.message else asked


def _seen(proposal: Proposal) -> str:
    name = proposal.metric.split("(", maxsplit=1)[0]
    if proposal.error:
        return f"{name}: {proposal.error}"
    if proposal.stands_for:
        return f"{name}: {proposal.stands_for}"
    near = " (within tolerance)" if proposal.within_tolerance else ""
    usage, target = (f"{value / 1000:g}" for value in (proposal.usage, proposal.target))
    return f"{name} {usage} to {target} a replica asks for {proposal.replicas}{near}"
