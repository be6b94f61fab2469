"""Who may ask a model: SecurityPolicies and their Secrets in, the keys of each route out. Pure.

As Envoy Gateway does it: a policy guards the HTTPRoutes that it names or selects, the oldest policy
of a route counts, and one that cannot be followed closes its routes to everybody. A model has one
route here, so a policy of one of its HTTPRoutes guards all of its addresses.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from controlplane.errors import ManifestError
from controlplane.kubernetes.conditions import condition, timed
from controlplane.kubernetes.meta import Object, is_of_a_controller
from controlplane.kubernetes.names import SERVICE_LABEL
from controlplane.local.controllers.fence import Each
from controlplane.local.controllers.plan import Keys, Plan

Json = dict[str, Any]

FILTER = "envoy.filters.http.api_key_auth"
"""Envoy's, which Envoy Gateway uses too."""
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3"
MOST = 1000
"""Keys of one policy: each of its routes lists them."""
_CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"
_GATEWAY = {
    "group": "gateway.networking.k8s.io",
    "kind": "Gateway",
    "name": "kserve-ingress-gateway",
    "namespace": "kserve",
}
_KEY = re.compile(rb"[!-~](?:[ -~]{0,4094}[!-~])?")
"""What a header can carry, without spaces at its ends."""
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
"""RFC 9110, 5.6.2."""
_SOURCES = {"headers": "header", "params": "query", "cookies": "cookie"}
_NOT_A_CLIENTS = {
    *("host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "trailer"),
    *("content-type", "content-encoding", "keep-alive", "proxy-connection", "x-serin-model"),
}
"""Headers that say how a message is to be read: none is overwritten with a client's name."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one policy, as its condition Accepted says."""

    reason: str
    message: str

    @property
    def accepted(self) -> bool:
        """Whether it is carried out."""
        return self.reason == "Accepted"


def guarded(
    plan: Plan,
    policies: Iterable[Object],
    routes: Iterable[Object],
    secrets: Iterable[Object],
    each: Each,
) -> tuple[Plan, dict[str, Verdict]]:
    """The plan with the keys of each route, and policy → what became of it.

    Args:
        plan: Its routes are open.
        policies: All SecurityPolicies.
        routes: All HTTPRoutes.
        secrets: All Secrets.
        each: Does what is done for one policy: its fault closes what it guards.
    """
    every = list(policies)
    if not every:
        return plan, {}
    services = {
        (one["metadata"].get("namespace", ""), one["metadata"]["name"]): one
        for one in routes
        if is_of_a_controller(one)
    }
    kept = {(one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in secrets}
    verdicts: dict[str, Verdict] = {}
    found: dict[str, Keys] = {}
    for policy in sorted(every, key=_age):
        name = policy["metadata"]["name"]
        models = each(policy, partial(_models, policy, services), None)
        if models is None:  # the fence tells why
            continue
        free = models - found.keys()
        if not free:
            verdicts[name] = _unused(models)
            continue
        fault = Keys(refused="the policy cannot be read")
        keys, unsent = each(policy, partial(_keys, policy, kept), (fault, []))
        found |= dict.fromkeys(free, keys)
        verdicts[name] = _verdict(keys, unsent, models - free)
    return (
        replace(
            plan,
            routes=tuple(replace(one, keys=found.get(one.service)) for one in plan.routes),
            mirrors=tuple(replace(one, keys=found.get(one.service)) for one in plan.mirrors),
        ),
        verdicts,
    )


def http_filter() -> Json:
    """Describe the HTTP filter; off but where a route has keys."""
    return {"name": FILTER, "disabled": True, "typed_config": {"@type": f"{_TYPE}.ApiKeyAuth"}}


def per_route(keys: Keys) -> Json:
    """What Envoy's filter is told of a route."""
    found: Json = {
        "@type": f"{_TYPE}.ApiKeyAuthPerRoute",
        "credentials": [{"key": key, "client": client} for client, key in keys.credentials],
        "key_sources": [{kind: name} for kind, name in keys.sources],
    }
    if keys.client_header or keys.hidden:
        found["forwarding"] = {"header": keys.client_header, "hide_credentials": keys.hidden}
    return {FILTER: found}


def status(policy: Object, verdict: Verdict, now: str) -> Object:
    """A policy's status, as Envoy Gateway writes it.

    Args:
        policy: The SecurityPolicy.
        verdict: What became of it.
        now: metav1.Time.
    """
    accepted = condition("Accepted", verdict.reason, verdict.message, true=verdict.accepted)
    accepted["observedGeneration"] = policy["metadata"].get("generation", 1)
    before = (policy.get("status") or {}).get("ancestors") or [{}]
    return {
        "ancestors": [
            {
                "ancestorRef": _GATEWAY,
                "controllerName": _CONTROLLER,
                "conditions": timed([accepted], before[0].get("conditions"), now),
            }
        ]
    }


def _models(policy: Object, routes: Mapping[tuple[str, str], Object]) -> set[str]:
    """The InferenceServices whose HTTPRoutes a policy names or selects."""
    namespace, spec = policy["metadata"]["namespace"], policy["spec"]
    single = [spec["targetRef"]] if spec.get("targetRef") else []
    named = {(namespace, one["name"]) for one in [*single, *(spec.get("targetRefs") or ())]}
    selectors = [one.get("matchLabels") or {} for one in spec.get("targetSelectors") or ()]
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


def _keys(policy: Object, secrets: Mapping[tuple[str, str], Object]) -> tuple[Keys, list[str]]:
    """The keys that a policy asks for, and the clients whose keys no request can carry."""
    try:
        asked = policy["spec"].get("apiKeyAuth")
        if not asked:
            raise ManifestError("spec.apiKeyAuth is missing: it says where the keys are")
        sources, client_header = _sources(asked), asked.get("forwardClientIDHeader") or ""
        held = _held(policy["metadata"]["namespace"], asked["credentialRefs"], secrets)
        sendable = {client: value for client, value in held.items() if _KEY.fullmatch(value)}
        keys = Keys(_credentials(sendable), sources, client_header, bool(asked.get("sanitize")))
    except ManifestError as error:
        return Keys(refused=str(error)), []
    return keys, sorted(held.keys() - sendable.keys())


def _sources(asked: Object) -> tuple[tuple[str, str], ...]:
    found = tuple(
        (kind, name)
        for one in asked["extractFrom"]
        for field, kind in _SOURCES.items()
        for name in one.get(field) or ()
    )
    client_header = asked.get("forwardClientIDHeader") or ""
    headers = [name for kind, name in found if kind == "header"]
    for name in [*headers, client_header] if client_header else headers:
        if not _NAME.fullmatch(name):
            raise ManifestError(f"{name!r} is no name of a header")
    if client_header.lower() in _NOT_A_CLIENTS:
        raise ManifestError(f"forwardClientIDHeader would overwrite {client_header}")
    return found


def _held(
    namespace: str, references: Iterable[Object], secrets: Mapping[tuple[str, str], Object]
) -> dict[str, bytes]:
    """Client → key, of all Secrets; the first that names a client counts."""
    found: dict[str, bytes] = {}
    for reference in references:
        secret = secrets.get((namespace, reference["name"]))
        if secret is None:
            raise ManifestError(f"Secret {namespace}/{reference['name']} not found")
        for client, value in (secret.get("data") or {}).items():
            found.setdefault(client, base64.b64decode(value))
    return found


def _credentials(sendable: Mapping[str, bytes]) -> tuple[tuple[str, str], ...]:
    if not sendable:
        raise ManifestError("the Secrets hold no key that a request can carry")
    if len(sendable) > MOST:
        raise ManifestError(f"the Secrets hold {len(sendable)} keys, expected at most {MOST}")
    clients: dict[bytes, str] = {}
    for client, value in sorted(sendable.items()):
        if other := clients.get(value):
            raise ManifestError(f"the clients {other} and {client} have the same key")
        clients[value] = client
    return tuple((client, value.decode()) for value, client in clients.items())


def _verdict(keys: Keys, unsent: Sequence[str], others: Iterable[str]) -> Verdict:
    if keys.refused:
        return Verdict("Invalid", f"APIKeyAuth: {keys.refused}: nobody is let in")
    said = ["Policy has been accepted."]
    if unsent:
        said.append(
            f"The keys of {', '.join(unsent)} open nothing: expected 1 to 4096 visible ASCII "
            "characters without a line's end."
        )
    if others := sorted(others):
        said.append(f"An older policy guards {', '.join(others)}.")
    return Verdict("Accepted", " ".join(said))


def _unused(models: Iterable[str]) -> Verdict:
    if names := ", ".join(sorted(models)):
        return Verdict("Conflicted", f"An older policy guards {names} already")
    return Verdict("TargetNotFound", "No HTTPRoute of a model is named or selected")


def _age(one: Object) -> tuple[str, str]:
    return one["metadata"].get("creationTimestamp", ""), one["metadata"]["name"]
