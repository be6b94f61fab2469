"""How often a model may be asked: BackendTrafficPolicies in, limits of each route out. Pure.

One model's addresses are many routes of Envoy's. The limits lie beside all of them, in the whole
RouteConfiguration, so that they share their counts; each route's metadata says whose it is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from controlplane.errors import ManifestError
from controlplane.kubernetes.meta import Object
from controlplane.local.controllers.fence import Each
from controlplane.local.controllers.plan import Limits, Plan, RateLimit
from controlplane.local.gateway.keys import NAME
from controlplane.local.gateway.policies import Verdict, accepted, decided

Json = dict[str, Any]

FILTER = "envoy.filters.http.local_ratelimit"
"""Envoy's, which Envoy Gateway uses too."""
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
_DAY = 86400
_SECONDS = {
    "Second": 1,
    "Minute": 60,
    "Hour": 3600,
    "Day": _DAY,
    "Week": 7 * _DAY,
    "Month": 30 * _DAY,
    "Year": 365 * _DAY,
}
_UNLIMITED = {"max_tokens": 2**32 - 1, "tokens_per_fill": 2**32 - 1, "fill_interval": "1s"}
_MOST_CLIENTS = 10_000
"""Counts that are kept; the one not used for longest goes. Envoy Gateway's number."""
_ALWAYS = {"default_value": {"numerator": 100}}
_METADATA = "serin.limits"


def limited(
    plan: Plan, policies: Iterable[Object], routes: Iterable[Object], each: Each
) -> tuple[Plan, dict[str, Verdict]]:
    """The plan with the limits of each route, and policy → what became of it.

    Args:
        plan: Its routes are not limited.
        policies: All BackendTrafficPolicies.
        routes: All HTTPRoutes.
        each: Does what is done for one policy: its fault closes what it limits.
    """
    every = list(policies)
    if not every:
        return plan, {}
    fault = _refused("the policy cannot be read")
    asked, verdicts = decided(every, routes, each, _limits, fault)
    return (
        replace(
            plan,
            routes=tuple(replace(one, limits=asked.get(one.service)) for one in plan.routes),
            mirrors=tuple(replace(one, limits=asked.get(one.service)) for one in plan.mirrors),
        ),
        verdicts,
    )


def http_filter() -> Json:
    """Describe the HTTP filter; off but where `everywhere` turns it on."""
    content = {"@type": _TYPE, "stat_prefix": "rate_limit"}
    return {"name": FILTER, "disabled": True, "typed_config": content}


def everywhere(limits: Mapping[str, Limits | None]) -> Json:
    """What Envoy's RouteConfiguration says of all models' limits; nothing where there are none.

    Args:
        limits: Model → its limits.
    """
    rules = [
        (model, place, rule)
        for model, own in sorted(limits.items())
        if own
        for place, rule in enumerate(own.rules)
    ]
    if not rules:
        return {}
    content = {
        "@type": _TYPE,
        "stat_prefix": "rate_limit",
        "token_bucket": _UNLIMITED,
        "always_consume_default_token_bucket": False,
        "filter_enabled": _ALWAYS,
        "filter_enforced": _ALWAYS,
        "max_dynamic_descriptors": _MOST_CLIENTS,
        "rate_limited_as_resource_exhausted": True,
        "response_headers_to_add": [
            {"header": {"key": "retry-after", "value": f"%METADATA(ROUTE:{_METADATA}:again)%"}}
        ],
        "rate_limits": [{"actions": _actions(*one)} for one in rules],
        "descriptors": [_descriptor(*one) for one in rules],
    }
    return {"typed_per_filter_config": {FILTER: content}}


def per_route(model: str, limits: Limits | None) -> Json:
    """What a route of Envoy's says, so that the model's limits hold for it."""
    if not limits:
        return {}
    again = max((-(-rule.seconds // rule.requests) for rule in limits.rules), default=1)
    told = {"model": model, "again": str(again)}
    return {"metadata": {"filter_metadata": {_METADATA: told}}}


def _actions(model: str, place: int, rule: RateLimit) -> list[Json]:
    """What Envoy reads of a request. The keys have the model, so that no other's is counted."""
    whose = {
        "descriptor_key": _key(model, place),
        "metadata_key": {"key": _METADATA, "path": [{"key": "model"}]},
        "source": "ROUTE_ENTRY",
    }
    return [
        {"metadata": whose},
        *(
            {"request_headers": {"header_name": name, "descriptor_key": name.lower()}}
            for name, _ in rule.headers
        ),
    ]


def _descriptor(model: str, place: int, rule: RateLimit) -> Json:
    """How many requests of which the actions read this: one without a value has any."""
    return {
        "entries": [
            {"key": _key(model, place), "value": model},
            *(
                {"key": name.lower(), **({} if value is None else {"value": value})}
                for name, value in rule.headers
            ),
        ],
        "token_bucket": {
            "max_tokens": rule.requests,
            "tokens_per_fill": rule.requests,
            "fill_interval": f"{rule.seconds}s",
        },
    }


def _key(model: str, place: int) -> str:
    return f"{model}/{place}"


def _limits(policy: Object) -> tuple[Limits, Verdict]:
    """The rate limits that a policy asks for."""
    try:
        rules = (policy["spec"].get("rateLimit") or {}).get("local", {}).get("rules") or ()
        if not rules:
            raise ManifestError("spec.rateLimit.local.rules is missing: it says how many requests")
        return Limits(tuple(map(_rule, rules))), accepted()
    except ManifestError as error:
        return _refused(str(error))


def _rule(rule: Object) -> RateLimit:
    requests, unit = rule["limit"]["requests"], rule["limit"]["unit"]
    if not requests:
        raise ManifestError("a limit of 0 requests: expected 1 or more")
    headers = tuple(
        _header(header)
        for selector in rule.get("clientSelectors") or ()
        for header in selector.get("headers") or ()
    )
    return RateLimit(requests, _SECONDS[unit], headers)


def _header(header: Object) -> tuple[str, str | None]:
    name, value = header["name"], header.get("value")
    if not NAME.fullmatch(name):
        raise ManifestError(f"{name!r} is no name of a header")
    if header.get("type", "Exact") == "Distinct":
        if value:
            raise ManifestError(f"the header {name} is Distinct and has a value: expected none")
        return name, None
    if not value:
        raise ManifestError(f"the header {name} has no value to compare with: expected one")
    return name, value


def _refused(why: str) -> tuple[Limits, Verdict]:
    said = f"its BackendTrafficPolicy cannot be followed ({why})"
    return Limits(refused=said), Verdict("Invalid", f"RateLimit: {why}: nobody is let in")
