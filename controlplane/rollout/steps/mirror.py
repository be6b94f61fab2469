"""The HTTPRoute that mirrors a model's requests to its canary; made and removed by a rollout. Pure.

Its paths are exact, so it comes before KServe's regular expressions (Gateway API, HTTPRouteMatch),
which stay as they are: without it, everything is as it was. Stable answers; what the canary answers
is dropped by the gateway, and logged by both for the rollout to compare.

A gateway has backends of its own for each HTTPRoute, and changes them and the paths one after the
other: a path whose backends are not there yet, or not any more, is a 503 for whoever asks then. So
a mirror comes and goes parked, at paths that nobody asks for, and only its paths are changed while
its backends stay.
"""

import re
from collections.abc import Iterator
from typing import Any

from controlplane.rollout.steps.seen import HEADER, PARKED, SINCE, deployment_name

Object = dict[str, Any]
COMPONENT, ROLLOUT = "app.kubernetes.io/component", "rollout"
_MODIFIER = "RequestHeaderModifier"
_GRPC = "/inference.GRPCInferenceService/ModelInfer"


def mirror_name(model: str) -> str:
    """The HTTPRoute's name."""
    return f"{model}-shadow"


def mark(rollout: str, canary: str) -> str:
    """The header's value.

    Args:
        rollout: The rollout's id.
        canary: The canary's storageUri.
    """
    return f"{rollout}/{canary.rstrip('/').rsplit('/', 1)[-1]}"


def is_ours(route: Object | None) -> bool:
    """Whether a rollout made this HTTPRoute."""
    labels = (route or {"metadata": {}})["metadata"].get("labels") or {}
    return bool(labels.get(COMPONENT) == ROLLOUT)


def mirror_route(service: Object, route: Object, rollout: str, canary: str) -> Object:
    """The HTTPRoute: the hosts, the gateway, the ports and the timeouts of KServe's.

    Args:
        service: The InferenceService; with it goes the HTTPRoute.
        route: KServe's HTTPRoute of it.
        rollout: The rollout's id.
        canary: The canary's storageUri.
    """
    metadata = service["metadata"]
    model = metadata["name"]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": mirror_name(model),
            "namespace": metadata["namespace"],
            "labels": {
                "app.kubernetes.io/name": model,
                COMPONENT: ROLLOUT,
                "app.kubernetes.io/part-of": "serin",
            },
            "ownerReferences": [
                {
                    "apiVersion": service["apiVersion"],
                    "kind": service["kind"],
                    "name": model,
                    "uid": metadata["uid"],
                }
            ],
        },
        "spec": {
            "parentRefs": route["spec"]["parentRefs"],
            "hostnames": route["spec"]["hostnames"][:1],
            "rules": list(_rules(model, route, mark(rollout, canary))),
        },
    }


def change(mirror: Object, now: float, *, park: bool) -> Object:
    """A merge patch that takes a mirror's paths away from the requests, or gives it theirs.

    Args:
        mirror: The HTTPRoute as it is.
        now: Unix time.
        park: Whether it is to copy none.
    """
    rules = []
    for rule in mirror["spec"]["rules"]:
        match = rule["matches"][0]
        path = match["path"]["value"].removeprefix(PARKED)
        value = f"{PARKED}{path}" if park else path
        rules.append({**rule, "matches": [{**match, "path": {**match["path"], "value": value}}]})
    return {"metadata": {"annotations": {SINCE: f"{now:.1f}"}}, "spec": {"rules": rules}}


def _rules(model: str, route: Object, value: str) -> Iterator[Object]:
    stable = deployment_name(model, canary=False)
    for rule in route["spec"]["rules"]:
        answers = [one for one in rule["backendRefs"] if one["name"] == stable]
        match = rule["matches"][0]
        if not answers or not match.get("path"):
            continue
        is_grpc = "GRPCInferenceService" in re.sub(r"\\", "", match["path"].get("value", ""))
        path = _GRPC if is_grpc else f"/v2/models/{model}/infer"
        backend = {**answers[0], "weight": 1}
        copy = {key: value for key, value in answers[0].items() if key not in {"weight", "filters"}}
        given = [one for one in rule.get("filters") or () if one["type"] == _MODIFIER]
        modifier = given[0]["requestHeaderModifier"] if given else {}  # a rule may have one only
        marked = [*modifier.get("set", ()), {"name": HEADER, "value": value}]
        yield {
            "matches": [{**match, "path": {"type": "Exact", "value": path}}],
            "backendRefs": [backend],
            "filters": [
                {"type": _MODIFIER, "requestHeaderModifier": {**modifier, "set": marked}},
                {
                    "type": "RequestMirror",
                    "requestMirror": {
                        "backendRef": {**copy, "name": deployment_name(model, canary=True)}
                    },
                },
            ],
            **({"timeouts": rule["timeouts"]} if "timeouts" in rule else {}),
        }
