"""Patches of a Deployment: its annotations, and the restart of its pods. Pure.

Everything else of it follows its InferenceService, as in a cluster, where KServe takes back what
others write; here such a patch is refused with the way that lasts.
"""

import re
from typing import Any

from controlplane.kubernetes import patchtypes
from controlplane.kubernetes.kinds import Kind
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.names import RESTARTED, SERVICE_LABEL
from controlplane.kubernetes.refusals import Forbidden, Invalid
from controlplane.local.api.schemas import validation
from controlplane.local.api.writes import ownership, patches

_WAYS = (
    ("env", "patch spec.predictor.model.env of isvc/{}"),
    ("image", "images are not run here; patch spec.predictor.model.storageUri of isvc/{}"),
    ("resources", "patch spec.predictor.model.resources of isvc/{}"),
    ("paused", "nothing is paused here; patch isvc/{} when it shall roll out"),
    ("replicas", "patch minReplicaCount of its scaledobject, or predictor.minReplicas of isvc/{}"),
    ("labels", "label isvc/{}"),
)
"""What people patch in a Deployment, and what lasts."""
_WAY = "patch spec.predictor of isvc/{}; an earlier version comes back by ./serin rollback {}"


def patched(kind: Kind, media_type: str, live: Object, patch: Any, manager: str) -> Object:
    """A Deployment with its annotations and its restart after a patch.

    Raises:
        Forbidden: The patch changes anything else; names what to patch instead.
        Invalid: The annotations are none.
    """
    if media_type == patchtypes.APPLY:
        raise _forbidden(live, None)
    try:
        asked = patches.patched(kind, media_type, live, patch)
    except Invalid as error:
        raise _forbidden(live, patch) from error
    made = _annotated(live, _annotations(asked))
    template = live["spec"]["template"]
    marks = dict(_annotations(template))
    marks |= {
        name: value for name, value in _annotations(_template(asked)).items() if name == RESTARTED
    }
    made["spec"] = {**live["spec"], "template": _annotated(template, marks)}
    if asked != made:
        raise _forbidden(live, patch)
    validation.check(kind, made, new=False)
    ownership.updated(live, made, manager)
    return made


def _template(one: Object) -> Any:
    spec = one.get("spec")
    return spec.get("template") if isinstance(spec, dict) else None


def _annotations(one: Any) -> dict[str, Any]:
    metadata = one.get("metadata") if isinstance(one, dict) else None
    found = metadata.get("annotations") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def _annotated(one: Object, annotations: dict[str, Any]) -> Object:
    if not annotations and "annotations" not in one["metadata"]:
        return dict(one)
    return {**one, "metadata": {**one["metadata"], "annotations": annotations}}


def _forbidden(live: Object, patch: Any) -> Forbidden:
    name, labels = live["metadata"]["name"], live["metadata"].get("labels") or {}
    service, text = labels.get(SERVICE_LABEL, ""), str(patch) if isinstance(patch, dict) else ""
    way = next((way for word, way in _WAYS if re.search(rf"['/]{word}'", text)), _WAY)
    return Forbidden(
        f'deployments.apps "{name}" is forbidden: it follows its InferenceService, which takes '
        f"back what others write: {way.replace('{}', service)}"
    )
