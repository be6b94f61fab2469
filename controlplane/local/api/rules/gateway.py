"""Which HTTPRoutes of other people's the laptop's gateway carries out: those that mirror.

KServe's own routes are written by a controller and pass this by. Anything else would be accepted
by a cluster's gateway and is refused here by name, rather than taken and not carried out. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from controlplane.kubernetes.meta import Object, is_of_a_controller
from controlplane.kubernetes.names import SERVICE_LABEL
from controlplane.kubernetes.refusals import Cause
from controlplane.local.api.schemas import validation

_PORTS = {"http": 80, "grpc": 8081}
"""Of the Services that KServe makes of a predictor."""


def _closed(properties: Mapping[str, Any], *optional: str) -> dict[str, Any]:
    """An object of these fields and no others."""
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _list(items: Mapping[str, Any], most: int = 1) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


_SERVICE = {
    "group": {"enum": [""]},
    "kind": {"enum": ["Service"]},
    "name": {"type": "string"},
    "namespace": {"enum": ["models"]},
    "port": {"enum": [*_PORTS.values()]},
}
_GRPC = {
    "name": {"enum": ["content-type"]},
    "type": {"enum": ["RegularExpression"]},
    "value": {"enum": ["^application/grpc.*"]},
}
_FIELD = _closed({"name": {"type": "string"}, "value": {"type": "string"}})
_SPEC = _closed(
    {
        "parentRefs": _list(
            _closed(
                {
                    "group": {"enum": ["gateway.networking.k8s.io"]},
                    "kind": {"enum": ["Gateway"]},
                    "name": {"enum": ["kserve-ingress-gateway"]},
                    "namespace": {"enum": ["kserve"]},
                }
            )
        ),
        "hostnames": _list({"type": "string"}, 2),
        "rules": _list(
            _closed(
                {
                    "matches": _list(
                        _closed(
                            {
                                "path": _closed({"type": {"enum": ["Exact"]}, "value": {}}),
                                "headers": _list(_closed(_GRPC)),
                            },
                            "headers",
                        )
                    ),
                    "backendRefs": _list(
                        _closed({**_SERVICE, "weight": {"enum": [1]}}, "namespace")
                    ),
                    "filters": _list(
                        _closed(
                            {
                                "type": {"enum": ["RequestMirror", "RequestHeaderModifier"]},
                                "requestMirror": _closed(
                                    {"backendRef": _closed(_SERVICE, "namespace")}
                                ),
                                "requestHeaderModifier": _closed({"set": _list(_FIELD, 16)}),
                            },
                            *("requestMirror", "requestHeaderModifier"),
                        ),
                        2,
                    ),
                    "timeouts": _closed({"request": {"pattern": "^[1-9][0-9]{0,4}s$"}}),
                }
            ),
            16,
        ),
    }
)


def causes(one: Object, routes: Iterable[Object]) -> Iterator[Cause]:
    """What the laptop's gateway cannot carry out of an HTTPRoute, after its schema's defaults.

    Args:
        one: The HTTPRoute.
        routes: All HTTPRoutes, of which KServe's say which host is which model's.
    """
    if is_of_a_controller(one):
        yield Cause(
            "FieldValueForbidden",
            "metadata.ownerReferences",
            "Forbidden: a route with a controller is the controller's to write",
        )
    found = validation.breaches(_SPEC, one["spec"], "spec")
    yield from found
    if found:
        return
    hosts = one["spec"]["hostnames"]
    models = {
        host: (route["metadata"].get("labels") or {}).get(SERVICE_LABEL)
        for route in routes
        if is_of_a_controller(route)
        for host in route["spec"]["hostnames"]
    }
    named = {models.get(host) for host in hosts}
    if len(named) != 1 or None in named:
        there = ", ".join(f'"{host}"' for host in sorted(models)) or "none"
        yield Cause(
            "FieldValueNotSupported",
            "spec.hostnames",
            f"Unsupported value: {', '.join(hosts)}: expected hosts of one model; there are: "
            f"{there}",
        )
        return
    (model,) = named
    for index, rule in enumerate(one["spec"]["rules"]):
        yield from _rule(rule, f"spec.rules[{index}]", str(model))


def _rule(rule: Mapping[str, Any], path: str, model: str) -> Iterator[Cause]:
    types = sorted(one["type"] for one in rule["filters"])
    if types not in (["RequestMirror"], ["RequestHeaderModifier", "RequestMirror"]):
        yield Cause(
            "FieldValueInvalid",
            f"{path}.filters",
            "Invalid value: expected one RequestMirror, and at most one RequestHeaderModifier",
        )
        return
    at = next(i for i, one in enumerate(rule["filters"]) if "requestMirror" in one)
    references = {
        "backendRefs[0]": rule["backendRefs"][0],
        f"filters[{at}].requestMirror.backendRef": (
            rule["filters"][at]["requestMirror"]["backendRef"]
        ),
    }
    kind = "grpc" if rule["matches"][0].get("headers") else "http"
    services = {f"{model}-predictor", f"{model}-canary-predictor"}
    for field, found in references.items():
        if found["name"] not in services:
            yield Cause(
                "FieldValueNotSupported",
                f"{path}.{field}.name",
                f'Unsupported value: "{found["name"]}": supported values: '
                + ", ".join(f'"{name}"' for name in sorted(services)),
            )
        if found["port"] != _PORTS[kind]:
            yield Cause(
                "FieldValueNotSupported",
                f"{path}.{field}.port",
                f"Unsupported value: {found['port']}: {kind} goes to port {_PORTS[kind]}",
            )
