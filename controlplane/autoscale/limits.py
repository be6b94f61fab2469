"""Stabilisation windows and scaling policies: between what metrics ask for and what is done.

The steps are those of pkg/controller/podautoscaler/horizontal.go.
Old entries are overwritten in the order the controller overwrites them, because an entry that is
old for one direction may still count for the other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from controlplane.autoscale.rule import (
    Behavior,
    Controller,
    PolicyType,
    Rule,
    ScalingRules,
    SelectPolicy,
)

LIMITED = {
    "ScaleUpLimit": "the desired replica count is increasing faster than the maximum scale rate",
    "ScaleDownLimit": "the desired replica count is decreasing faster than the maximum scale rate",
    "TooManyReplicas": "the desired replica count is more than the maximum replica count",
    "TooFewReplicas": "the desired replica count is less than the minimum replica count",
    "DesiredWithinRange": "the desired count is within the acceptable range",
}
STABILIZED = {
    "ScaleUpStabilized": "recent recommendations were lower than current one, applying the lowest "
    "recent recommendation",
    "ScaleDownStabilized": "recent recommendations were higher than current one, applying the "
    "highest recent recommendation",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A number of replicas at a time: recommended, or added, or removed."""

    replicas: int
    at: float


@dataclass(frozen=True, slots=True)
class History:
    """What an HPA remembers."""

    recommendations: tuple[Entry, ...] = ()
    """What metrics asked for, before any limit."""
    scale_ups: tuple[Entry, ...] = ()
    scale_downs: tuple[Entry, ...] = ()

    def recommend(self, replicas: int, now: float, oldest: float) -> "History":
        """Remember what metrics asked for, in the place of an entry before `oldest`."""
        entries = _put(self.recommendations, Entry(replicas, now), oldest)
        return replace(self, recommendations=entries)

    def rescaled(self, behavior: Behavior | None, before: int, after: int, now: float) -> "History":
        """Remember a change of size; without a behavior nothing asks for it."""
        if behavior is None or before == after:
            return self
        if after > before:
            oldest = now - behavior.scale_up.longest_period_seconds
            entries = _put(self.scale_ups, Entry(after - before, now), oldest)
            return replace(self, scale_ups=entries)
        oldest = now - behavior.scale_down.longest_period_seconds
        entries = _put(self.scale_downs, Entry(before - after, now), oldest)
        return replace(self, scale_downs=entries)


@dataclass(frozen=True, slots=True)
class Limited:
    """A number of replicas after a step, and the controller's word for what the step did."""

    replicas: int
    reason: str


def stabilize(
    history: History, rule: Rule, controller: Controller, current: int, asked: int, now: float
) -> Limited:
    """Hold the replicas between the lowest and highest that recent readings asked for."""
    if rule.behavior is None:
        since = now - controller.downscale_stabilization_seconds
        recent = [entry.replicas for entry in history.recommendations if entry.at >= since]
        highest = max([asked, *recent])
        return Limited(highest, "ScaleDownStabilized" if highest != asked else "ReadyForNewScale")
    up_since = now - rule.behavior.scale_up.stabilization_window_seconds
    down_since = now - rule.behavior.scale_down.stabilization_window_seconds
    entries = history.recommendations
    lowest = min([asked, *(entry.replicas for entry in entries if entry.at > up_since)])
    highest = max([asked, *(entry.replicas for entry in entries if entry.at > down_since)])
    replicas = min(max(current, lowest), highest)
    if replicas == asked:
        return Limited(replicas, "ReadyForNewScale")
    return Limited(replicas, "ScaleUpStabilized" if asked >= current else "ScaleDownStabilized")


def oldest_needed(rule: Rule, controller: Controller, now: float) -> float:
    """The time before which no recommendation counts."""
    if rule.behavior is None:
        return now - controller.downscale_stabilization_seconds
    windows = (rule.behavior.scale_up, rule.behavior.scale_down)
    return now - max(rules.stabilization_window_seconds for rules in windows)


def limit(history: History, rule: Rule, current: int, asked: int, now: float) -> Limited:
    """Hold the change to what policies, minimum and maximum allow."""
    if rule.behavior is None:
        return _without_behavior(rule, current, asked)
    if asked > current:
        limited = _added(history, rule.behavior.scale_up, current, now)
        limited = max(limited, current)
        if rule.max_replica_count > limited:
            allowed, reason = limited, "ScaleUpLimit"
        else:
            allowed, reason = rule.max_replica_count, "TooManyReplicas"
        if asked > allowed:
            return Limited(allowed, reason)
    if asked < current:
        limited = _removed(history, rule.behavior.scale_down, current, now)
        limited = min(limited, current)
        if rule.hpa_min_replicas < limited:
            allowed, reason = limited, "ScaleDownLimit"
        else:
            allowed, reason = rule.hpa_min_replicas, "TooFewReplicas"
        if asked < allowed:
            return Limited(allowed, reason)
    return Limited(asked, "DesiredWithinRange")


def _without_behavior(rule: Rule, current: int, asked: int) -> Limited:
    doubled = max(2 * current, 4)
    highest, reason = rule.max_replica_count, "TooManyReplicas"
    if highest > doubled:
        highest, reason = doubled, "ScaleUpLimit"
    if asked < rule.hpa_min_replicas:
        return Limited(rule.hpa_min_replicas, "TooFewReplicas")
    if asked > highest:
        return Limited(highest, reason)
    return Limited(asked, "DesiredWithinRange")


def _added(history: History, rules: ScalingRules, current: int, now: float) -> int:
    if rules.select_policy is SelectPolicy.DISABLED:
        return current
    proposals = []
    for policy in rules.policies:
        start = _at_start(history, policy.period_seconds, current, now)
        if policy.type is PolicyType.PODS:
            proposals.append(start + policy.value)
        else:
            # Rounded up, or a small Deployment would never grow.
            proposals.append(math.ceil(start * (1 + policy.value / 100)))
    return min(proposals) if rules.select_policy is SelectPolicy.MIN else max(proposals)


def _removed(history: History, rules: ScalingRules, current: int, now: float) -> int:
    if rules.select_policy is SelectPolicy.DISABLED:
        return current
    proposals = []
    for policy in rules.policies:
        start = _at_start(history, policy.period_seconds, current, now)
        if policy.type is PolicyType.PODS:
            proposals.append(start - policy.value)
        else:
            proposals.append(int(start * (1 - policy.value / 100)))
    # The smallest change leaves the most replicas.
    return max(proposals) if rules.select_policy is SelectPolicy.MIN else min(proposals)


def _at_start(history: History, period_seconds: int, current: int, now: float) -> int:
    """The replicas when the period began."""
    since = now - period_seconds
    added, removed = (
        sum(entry.replicas for entry in entries if entry.at > since)
        for entries in (history.scale_ups, history.scale_downs)
    )
    return current - added + removed


def _put(entries: Sequence[Entry], new: Entry, oldest: float) -> tuple[Entry, ...]:
    """Overwrite the last entry that is older than `oldest`, or append."""
    old = [index for index, entry in enumerate(entries) if entry.at < oldest]
    if not old:
        return (*entries, new)
    return (*entries[: old[-1]], new, *entries[old[-1] + 1 :])
