"""Who may ask a model: SecurityPolicies and their Secrets in, the keys of each route out. Pure.

As in Envoy Gateway, a policy that cannot be followed closes its routes to everybody.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from controlplane.errors import ManifestError
from controlplane.kubernetes.meta import Object
from controlplane.local.controllers.fence import Each
from controlplane.local.controllers.plan import Keys, Plan
from controlplane.local.gateway.policies import Verdict, accepted, decided

Json = dict[str, Any]

FILTER = "envoy.filters.http.api_key_auth"
"""Envoy's, which Envoy Gateway uses too."""
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3"
MOST = 1000
"""Keys of one policy: each of its routes lists them."""
_KEY = re.compile(rb"[!-~](?:[ -~]{0,4094}[!-~])?")
"""What a header can carry, without spaces at its ends."""
NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
"""Of a header: RFC 9110, 5.6.2."""
_SOURCES = {"headers": "header", "params": "query", "cookies": "cookie"}
_NOT_A_CLIENTS = {
    *("host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "trailer"),
    *("content-type", "content-encoding", "keep-alive", "proxy-connection", "x-serin-model"),
}
"""Headers that say how a message is to be read: none is overwritten with a client's name."""


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
    kept = {(one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in secrets}
    fault = _refused("the policy cannot be read")
    asked, verdicts = decided(every, routes, each, partial(_keys, secrets=kept), fault)
    return (
        replace(
            plan,
            routes=tuple(replace(one, keys=asked.get(one.service)) for one in plan.routes),
            mirrors=tuple(replace(one, keys=asked.get(one.service)) for one in plan.mirrors),
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


def _keys(policy: Object, *, secrets: Mapping[tuple[str, str], Object]) -> tuple[Keys, Verdict]:
    """The keys that a policy asks for; the verdict names clients whose keys cannot be sent."""
    try:
        asked = policy["spec"].get("apiKeyAuth")
        if not asked:
            raise ManifestError("spec.apiKeyAuth is missing: it says where the keys are")
        sources, client_header = _sources(asked), asked.get("forwardClientIDHeader") or ""
        held = _held(policy["metadata"]["namespace"], asked["credentialRefs"], secrets)
        sendable = {client: value for client, value in held.items() if _KEY.fullmatch(value)}
        keys = Keys(_credentials(sendable), sources, client_header, bool(asked.get("sanitize")))
    except ManifestError as error:
        return _refused(str(error))
    if unsent := ", ".join(sorted(held.keys() - sendable.keys())):
        note = (
            f"The keys of {unsent} open nothing: expected 1 to 4096 visible ASCII characters "
            "without a line's end."
        )
        return keys, accepted(note)
    return keys, accepted()


def _refused(why: str) -> tuple[Keys, Verdict]:
    said = f"its SecurityPolicy cannot be followed ({why})"
    return Keys(refused=said), Verdict("Invalid", f"APIKeyAuth: {why}: nobody is let in")


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
        if not NAME.fullmatch(name):
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
