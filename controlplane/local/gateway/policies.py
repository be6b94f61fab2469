"""Envoy Gateway's policies of HTTPRoutes: which models one is about, and what became of it. Pure.

As Envoy Gateway does it, the oldest policy of a route counts. A model has one route here, so a
policy of one of its HTTPRoutes is about all of its addresses.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from controlplane.kubernetes.conditions import condition, timed
from controlplane.kubernetes.meta import Object, is_of_a_controller
from controlplane.kubernetes.names import SERVICE_LABEL
from controlplane.local.controllers.fence import Each

_CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"
_GATEWAY = {
    "group": "gateway.networking.k8s.io",
    "kind": "Gateway",
    "name": "kserve-ingress-gateway",
    "namespace": "kserve",
}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one policy, as its condition Accepted says."""

    reason: str
    message: str

    @property
    def accepted(self) -> bool:
        """Whether it is carried out."""
        return self.reason == "Accepted"


def accepted(*notes: str) -> Verdict:
    """A policy is carried out; notes are what its author should know."""
    return Verdict("Accepted", " ".join(["Policy has been accepted.", *notes]))


def decided(
    policies: Iterable[Object],
    routes: Iterable[Object],
    each: Each,
    read: Callable[[Object], tuple[_T, Verdict]],
    fault: tuple[_T, Verdict],
) -> tuple[dict[str, _T], dict[str, Verdict]]:
    """Model → what its policy asks for, and policy → what became of it.

    Args:
        policies: All of one kind.
        routes: All HTTPRoutes.
        each: Does what is done for one policy.
        read: Reads one policy.
        fault: What holds for the models of a policy that cannot be read.
    """
    services = {
        (route["metadata"].get("namespace", ""), route["metadata"]["name"]): route
        for route in routes
        if is_of_a_controller(route)
    }
    asked: dict[str, _T] = {}
    verdicts: dict[str, Verdict] = {}
    for policy in sorted(policies, key=_age):
        name = policy["metadata"]["name"]
        models = each(policy, partial(_models, policy, services), None)
        if models is None:  # the fence tells why
            continue
        free = models - asked.keys()
        if not free:
            verdicts[name] = _unused(models)
            continue
        content, verdict = each(policy, partial(read, policy), fault)
        asked |= dict.fromkeys(free, content)
        others = ", ".join(sorted(models - free))
        if verdict.accepted and others:
            note = f"{verdict.message} An older policy is about {others}."
            verdict = replace(verdict, message=note)
        verdicts[name] = verdict
    return asked, verdicts


def status(policy: Object, verdict: Verdict, now: str) -> Object:
    """A policy's status, as Envoy Gateway writes it.

    Args:
        policy: The policy.
        verdict: What became of it.
        now: metav1.Time.
    """
    told = condition("Accepted", verdict.reason, verdict.message, true=verdict.accepted)
    told["observedGeneration"] = policy["metadata"].get("generation", 1)
    before = (policy.get("status") or {}).get("ancestors") or [{}]
    return {
        "ancestors": [
            {
                "ancestorRef": _GATEWAY,
                "controllerName": _CONTROLLER,
                "conditions": timed([told], before[0].get("conditions"), now),
            }
        ]
    }


def _models(policy: Object, routes: Mapping[tuple[str, str], Object]) -> set[str]:
    """The InferenceServices whose HTTPRoutes a policy names or selects."""
    namespace, spec = policy["metadata"]["namespace"], policy["spec"]
    single = [spec["targetRef"]] if spec.get("targetRef") else []
    named = {(namespace, target["name"]) for target in [*single, *(spec.get("targetRefs") or ())]}
    selectors = [target.get("matchLabels") or {} for target in spec.get("targetSelectors") or ()]
    return {
        route["metadata"]["labels"][SERVICE_LABEL]
        for key, route in routes.items()
        if key in named
        or (key[0] == namespace and any(_selects(labels, route) for labels in selectors))
    }


def _selects(labels: Mapping[str, str], route: Object) -> bool:
    """KServe gives an HTTPRoute its InferenceService's labels, and not the one that we add."""
    own = {**route["metadata"]["labels"]}
    own.pop(SERVICE_LABEL, None)
    return labels.items() <= own.items()


def _unused(models: Iterable[str]) -> Verdict:
    if names := ", ".join(sorted(models)):
        return Verdict("Conflicted", f"An older policy is about {names} already")
    return Verdict("TargetNotFound", "No HTTPRoute of a model is named or selected")


def _age(policy: Object) -> tuple[str, str]:
    return policy["metadata"].get("creationTimestamp", ""), policy["metadata"]["name"]
