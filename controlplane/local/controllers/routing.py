"""HTTPRoutes' status: what the gateway made of them, as Gateway API's implementations say. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controlplane.kubernetes.conditions import condition, timed
from controlplane.kubernetes.meta import Object, is_of_a_controller
from controlplane.kubernetes.names import SERVICE_LABEL

_CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"


@dataclass(frozen=True, slots=True)
class Routing:
    """What the gateway made of the routes that it was told."""

    refused: Mapping[str, str] = field(default_factory=dict)
    """InferenceService, or HTTPRoute of somebody else → the gateway's words."""
    pending: frozenset[str] = frozenset()
    """Those of which the gateway has not said yet whether it takes them."""


def asked_by(route: Object) -> str:
    """Whose route it is: an InferenceService's, or its own name."""
    labels = route["metadata"].get("labels") or {}
    own: str = route["metadata"]["name"]
    return labels.get(SERVICE_LABEL, own) if is_of_a_controller(route) else own


def status(route: Object, refused: str, now: str) -> Object:
    """An HTTPRoute's status: accepted, or why not.

    Args:
        route: The HTTPRoute.
        refused: The gateway's words; empty where it has the route.
        now: metav1.Time.
    """
    accepted = condition(
        *("Accepted", "UnsupportedValue" if refused else "Accepted"),
        refused or "Route is accepted",
        true=not refused,
    )
    accepted["observedGeneration"] = route["metadata"].get("generation", 1)
    parents = (route.get("status") or {}).get("parents") or [{}]
    return {
        "parents": [
            {
                "parentRef": parent,
                "controllerName": _CONTROLLER,
                "conditions": timed([accepted], parents[0].get("conditions"), now),
            }
            for parent in route["spec"].get("parentRefs") or ()
        ]
    }
