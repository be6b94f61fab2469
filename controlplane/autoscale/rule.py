"""A ScaledObject as values, with KEDA's defaults filled in; names are its fields in snake case."""

from dataclasses import dataclass, field
from enum import StrEnum

MAX_INT32 = 2**31 - 1


class MetricType(StrEnum):
    """How an HPA compares a metric with its target."""

    AVERAGE_VALUE = "AverageValue"
    """The metric divided by the replicas."""
    VALUE = "Value"
    """The metric as it is."""
    UTILIZATION = "Utilization"
    """Of what the pods request, in percent; cpu and memory alone."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A trigger on an instant query."""

    metric_name: str
    """As the HPA knows it: s0-prometheus."""
    name: str
    server_address: str
    query: str
    target: int
    """The threshold, in thousandths."""
    activation: float = 0.0
    metric_type: MetricType = MetricType.AVERAGE_VALUE
    ignore_null_values: bool = True
    timeout_seconds: float = 3.0
    use_cached_metrics: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    """Sent with the query."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A trigger on the time of day."""

    metric_name: str
    name: str
    timezone: str
    start: str
    end: str
    desired_replicas: int
    metric_type: MetricType = MetricType.AVERAGE_VALUE

    @property
    def target(self) -> int:
        """One replica a unit, in thousandths."""
        return 1000


@dataclass(frozen=True, slots=True)
class Resource:
    """A trigger on what the pods use of a resource, which the HPA reads itself."""

    name: str
    metric_type: MetricType
    target: int
    """Percent of the request for Utilization, thousandths of a core or byte a pod otherwise."""
    metric_name: str = "cpu"
    """The resource: cpu or memory."""


@dataclass(frozen=True, slots=True)
class External:
    """A metric of an HPA that somebody else wrote: KEDA serves those of its ScaledObjects."""

    metric_name: str
    labels: tuple[tuple[str, str], ...]
    """The selector's matchLabels."""
    metric_type: MetricType
    target: int


Trigger = Prometheus | Cron | Resource | External


class FallbackBehavior(StrEnum):
    """Which number of replicas a failing trigger asks for."""

    STATIC = "static"
    CURRENT_REPLICAS = "currentReplicas"
    CURRENT_REPLICAS_IF_HIGHER = "currentReplicasIfHigher"
    CURRENT_REPLICAS_IF_LOWER = "currentReplicasIfLower"


@dataclass(frozen=True, slots=True)
class Fallback:
    """What stands in for a metric that cannot be read."""

    failure_threshold: int
    """Failures in a row that are still only errors."""
    replicas: int
    behavior: FallbackBehavior = FallbackBehavior.STATIC


class PolicyType(StrEnum):
    """What a scaling policy's value counts."""

    PODS = "Pods"
    PERCENT = "Percent"


class SelectPolicy(StrEnum):
    """Which of several policies holds."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


@dataclass(frozen=True, slots=True)
class Policy:
    """At most so many pods, or percent of them, in so many seconds."""

    type: PolicyType
    value: int
    period_seconds: int


@dataclass(frozen=True, slots=True)
class ScalingRules:
    """One direction of an HPA's behavior, with the API server's defaults filled in."""

    stabilization_window_seconds: int
    policies: tuple[Policy, ...]
    select_policy: SelectPolicy = SelectPolicy.MAX
    tolerance: float | None = None
    """None: the controller's."""

    @property
    def longest_period_seconds(self) -> int:
        """How long a scale event counts."""
        return max((policy.period_seconds for policy in self.policies), default=0)


@dataclass(frozen=True, slots=True)
class Behavior:
    """Both directions; giving one in a manifest fills in the other."""

    scale_up: ScalingRules
    scale_down: ScalingRules


@dataclass(frozen=True, slots=True)
class Controller:
    """The flags of a cluster's kube-controller-manager that matter here, at their defaults."""

    sync_period_seconds: float = 15.0
    tolerance: float = 0.1
    downscale_stabilization_seconds: float = 300.0
    cpu_initialization_period_seconds: float = 300.0
    initial_readiness_delay_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Rule:
    """A ScaledObject, or an HPA that was written by hand."""

    name: str
    namespace: str
    target: str
    """The Deployment's name."""
    triggers: tuple[Trigger, ...]
    min_replica_count: int = 0
    max_replica_count: int = 100
    idle_replica_count: int | None = None
    polling_interval_seconds: int = 30
    cooldown_period_seconds: int = 300
    initial_cooldown_period_seconds: int = 0
    fallback: Fallback | None = None
    behavior: Behavior | None = None
    paused: bool = False
    paused_replicas: int | None = None
    paused_scale_in: bool = False
    paused_scale_out: bool = False
    force_activation: bool = False
    hpa_name: str = field(default="")

    @property
    def hpa_min_replicas(self) -> int:
        """The HPA's minReplicas: below 1 is KEDA's own business."""
        return max(self.min_replica_count, 1)

    @property
    def only_resources(self) -> bool:
        """Whether no trigger says when to be active, so the target always is."""
        return all(isinstance(trigger, Resource) for trigger in self.triggers)

    @property
    def metrics(self) -> tuple[Trigger, ...]:
        """The triggers in the order of the HPA's metrics: External sorts before Resource."""
        return tuple(sorted(self.triggers, key=lambda trigger: isinstance(trigger, Resource)))
