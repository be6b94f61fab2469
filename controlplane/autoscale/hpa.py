"""The HPA's decision: reconcileAutoscaler of pkg/controller/podautoscaler/horizontal.go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from controlplane.autoscale import limits, proposals
from controlplane.autoscale.decision import Counterfactual, Decision, Proposal
from controlplane.autoscale.limits import LIMITED, STABILIZED, Entry, History
from controlplane.autoscale.proposals import Scale, Tolerances
from controlplane.autoscale.readings import PodUsage, Reading
from controlplane.autoscale.rule import (
    MAX_INT32,
    Behavior,
    Controller,
    Policy,
    PolicyType,
    Resource,
    Rule,
    ScalingRules,
    SelectPolicy,
)

ABOVE_MAX = "Current number of replicas above Spec.MaxReplicas"
BELOW_MIN = "Current number of replicas below Spec.MinReplicas"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the HPA sees at one time."""

    scale: Scale
    readings: Mapping[str, Reading]
    """Metric name → what KEDA answers."""
    pods: Mapping[str, tuple[PodUsage, ...]] = field(default_factory=dict)
    """cpu or memory → the pods with what they use of it; only looked at for such triggers."""


def decide(
    rule: Rule, history: History, seen: Seen, now: float, controller: Controller
) -> tuple[Decision, History]:
    """Decide the replicas, and what to remember of it.

    Args:
        rule: The ScaledObject; its HPA has the same limits, and minReplicas of at least 1.
        history: What the HPA remembers.
        seen: Replicas and metrics now.
        now: Seconds.
        controller: The cluster's flags.
    """
    current = seen.scale.spec_replicas
    if not history.recommendations:
        history = replace(history, recommendations=(Entry(current, now),))
    if current == 0:
        message = "scaling is disabled since the replica count of the target is zero"
        state = (False, "ScalingDisabled", message)
        return Decision("HPA", "ScalingDisabled", 0, 0, message, scaling_active=state), history
    for wrong, bound, reason in (
        (current > rule.max_replica_count, rule.max_replica_count, ABOVE_MAX),
        (current < rule.hpa_min_replicas, rule.hpa_min_replicas, BELOW_MIN),
    ):
        if wrong:  # neither metrics nor behavior are asked
            decision = _done(Decision("HPA", "SuccessfulRescale", current, bound, reason), reason)
            return decision, history.rescaled(rule.behavior, current, bound, now)

    found = _proposals(rule, seen, now, controller)
    errors = [proposal for proposal in found if proposal.error]
    valid = [proposal for proposal in found if not proposal.error]
    best = max(valid, key=lambda proposal: proposal.replicas, default=None)
    if best is None or (errors and best.replicas < current):
        return _failed(current, found, errors), history

    asked = best.replicas
    stable = limits.stabilize(history, rule, controller, current, asked, now)
    end = limits.limit(history, rule, current, stable.replicas, now)
    remembered = history.recommend(asked, now, limits.oldest_needed(rule, controller, now))
    reason = "All metrics below target" if asked < current else f"{best.metric} above target"
    message = f"the HPA was able to successfully calculate a replica count from {best.metric}"
    decision = Decision(
        by="HPA",
        rule=_rule(stable.reason, end.reason, best, end.replicas == current),
        current=current,
        desired=end.replicas,
        message=LIMITED[end.reason]
        if end.reason != "DesiredWithinRange"
        else STABILIZED.get(stable.reason, ""),
        proposals=found,
        counterfactuals=_counterfactuals(
            rule, history, controller, current, best, end.replicas, now
        ),
        scaling_active=(True, "ValidMetricFound", message),
        able_to_scale=(
            True,
            stable.reason,
            STABILIZED.get(stable.reason, "recommended size matches current size"),
        ),
        scaling_limited=(end.reason != "DesiredWithinRange", end.reason, LIMITED[end.reason]),
    )
    if decision.changes:
        # What asked for less than there is cannot be the reason to grow, and the other way round.
        decision = _done(decision, reason if asked != current else "")
    return decision, remembered.rescaled(rule.behavior, current, end.replicas, now)


def tolerances(rule: Rule, controller: Controller) -> Tolerances:
    """The rule's own, and the controller's where it has none."""
    down = rule.behavior.scale_down.tolerance if rule.behavior else None
    up = rule.behavior.scale_up.tolerance if rule.behavior else None
    flag = controller.tolerance
    return Tolerances(flag if down is None else down, flag if up is None else up)


def _proposals(rule: Rule, seen: Seen, now: float, controller: Controller) -> tuple[Proposal, ...]:
    near = tolerances(rule, controller)
    return tuple(
        proposals.resource(
            *(trigger, seen.pods.get(trigger.metric_name, ()), seen.scale, near, controller, now)
        )
        if isinstance(trigger, Resource)
        else proposals.external(
            trigger, seen.readings[trigger.metric_name], seen.scale, near, rule.name
        )
        for trigger in rule.metrics
    )


def _failed(current: int, found: Sequence[Proposal], errors: Sequence[Proposal]) -> Decision:
    first = errors[0]
    words = first.metric.split("(")[0].split()
    kind = "External" if words[0] == "external" else "Resource"
    word = f"{words[0]} resource" if kind == "Resource" else words[-1]
    reason = f"FailedGet{kind}Metric"
    event = (
        f"invalid metrics ({len(errors)} invalid out of {len(found)}), first error is: failed to "
        f"get {word} {kind.lower()} metric value: {first.error}"
    )
    message = f"the HPA was unable to compute the replica count: {first.error}"
    kept = "a failed metric never scales in" if len(errors) < len(found) else first.error
    return Decision(
        by="HPA",
        rule=reason,
        current=current,
        desired=current,
        message=kept,
        event=event,
        proposals=tuple(found),
        scaling_active=(False, reason, message),
        able_to_scale=(
            True,
            "SucceededGetScale",
            "the HPA controller was able to get the target's current scale",
        ),
    )


def _done(decision: Decision, reason: str) -> Decision:
    text = f"New size: {decision.desired}; reason: {reason}"
    message = f"the HPA controller was able to update the target scale to {decision.desired}"
    return replace(decision, event=text, able_to_scale=(True, "SucceededRescale", message))


def _rule(stable: str, end: str, best: Proposal, kept: bool) -> str:  # noqa: FBT001  two facts
    if end != "DesiredWithinRange":
        return end
    if stable != "ReadyForNewScale":
        return stable
    if best.within_tolerance:
        return "WithinTolerance"
    return "ReadyForNewScale" if kept else "SuccessfulRescale"


def _counterfactuals(
    rule: Rule,
    history: History,
    controller: Controller,
    current: int,
    best: Proposal,
    decided: int,
    now: float,
) -> tuple[Counterfactual, ...]:
    """Decide again without one rule at a time, and keep what would come out differently."""
    asked = best.replicas
    found: list[Counterfactual] = []

    def without(words: str, other: Rule, past: History, asked: int = asked) -> None:
        stable = limits.stabilize(past, other, controller, current, asked, now)
        replicas = limits.limit(past, other, current, stable.replicas, now).replicas
        if replicas != decided:
            found.append(Counterfactual(replicas, words))

    if best.within_tolerance and best.metric.startswith("external"):
        exact = -(-best.usage * current // best.target)
        without("the tolerance", rule, history, exact)
    window = controller.downscale_stabilization_seconds
    direction = "scale-up" if asked > current else "scale-down"
    if behavior := rule.behavior:
        rules = behavior.scale_up if asked > current else behavior.scale_down
        window = rules.stabilization_window_seconds
        free = Behavior(_free(behavior.scale_up), _free(behavior.scale_down))
        without(f"the {direction} policies", replace(rule, behavior=free), history)
    without(f"the {window:g} s {direction} window", rule, replace(history, recommendations=()))
    for words, unbounded in (
        (f"maxReplicaCount {rule.max_replica_count}", replace(rule, max_replica_count=MAX_INT32)),
        (f"minReplicaCount {rule.min_replica_count}", replace(rule, min_replica_count=0)),
    ):
        without(words, unbounded, history)
    return tuple(found)


def _free(rules: ScalingRules) -> ScalingRules:
    """The same direction without its policies: any change in a second."""
    anything = Policy(PolicyType.PODS, MAX_INT32, 1)
    return replace(rules, policies=(anything,), select_policy=SelectPolicy.MAX)
