"""What is there before anybody applies anything: namespaces, and the store's keys as Secrets."""

import base64
from collections.abc import Iterable, Mapping

import orjson

from controlplane.autoscale import horizontal
from controlplane.kubernetes.kinds import by_name
from controlplane.kubernetes.meta import Object, key_of
from controlplane.kubernetes.patchtypes import APPLY
from controlplane.local.api.objects import Objects
from controlplane.local.api.resources import Resources, Write
from controlplane.local.api.writes import ownership
from controlplane.local.api.writes.admission import SERVED_NAMESPACE
from controlplane.local.manifests import of_models
from controlplane.store.s3 import Store

MANAGER = "serin-up"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""Where kubectl notes what it applied; it warns of every object that has none."""
_NOTE = ("metadata", "annotations", LAST_APPLIED)
_SECRETS = ("s3", "s3-writer")
"""What predictors read with and Jobs write with; setup_cluster.sh makes both in a cluster."""


def seed(objects: Objects, store: Store) -> None:
    """Make the namespaces and the Secrets that hold the store's keys."""
    for name in ("default", SERVED_NAMESPACE):
        if objects.find("Namespace", "", name) is None:
            metadata = {"name": name, "labels": {"kubernetes.io/metadata.name": name}}
            objects.create(
                {
                    "apiVersion": "v1",
                    "kind": "Namespace",
                    "metadata": metadata,
                    "status": {"phase": "Active"},
                }
            )
    data = {name: base64.b64encode(value.encode()).decode() for name, value in store.env().items()}
    for name in _SECRETS:
        secret: Object = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": SERVED_NAMESPACE},
            "type": "Opaque",
            "data": data,
        }
        if old := objects.find(*key_of(secret)):
            objects.update({**old, "data": data})
        else:
            objects.create(secret)


async def apply(
    resources: Resources, manifests: Iterable[Object], replicas: Mapping[str, int | None]
) -> None:
    """Apply some models' manifests as `kubectl apply --server-side --force-conflicts` does.

    Args:
        resources: The API's verbs.
        manifests: All of the repository's.
        replicas: Model → processes asked for on the command line, or None for the manifest's.

    Raises:
        Refusal: What a cluster would refuse as well.
    """
    how = Write(manager=MANAGER, validation="Strict", force=True)
    for one in of_models(manifests, replicas):
        kind, metadata = by_name(one["kind"]), one["metadata"]
        if kind is None:
            continue
        wanted = one
        if one["kind"] == "ScaledObject":
            if _has_autoscaler(resources, one):
                continue
            wanted = _with_replicas(one, replicas)
        namespace = metadata.get("namespace", "") if kind.namespaced else ""
        name = metadata["name"]
        live = resources.objects.find(kind.name, namespace, name)
        noted = _noted(wanted, one, live)
        await resources.patch(kind, namespace, name, APPLY, noted, how, status=False)
    for model, count in replicas.items():
        name = f"{model}-predictor"
        if count is not None and resources.objects.find("Deployment", SERVED_NAMESPACE, name):
            found = resources.objects.get("Deployment", SERVED_NAMESPACE, name)
            found["spec"]["replicas"] = count
            resources.objects.update(found)


def _has_autoscaler(resources: Resources, scaled: Object) -> bool:
    """Whether somebody chose an HPA for a ScaledObject's Deployment; there cannot be both."""
    target = scaled["spec"]["scaleTargetRef"]["name"]
    return any(
        horizontal.by_hand(hpa) and hpa["spec"]["scaleTargetRef"]["name"] == target
        for hpa in resources.objects.list_of("HorizontalPodAutoscaler", SERVED_NAMESPACE)
    )


def _noted(wanted: Object, manifest: Object, live: Object | None) -> Object:
    """An object with kubectl's note of what was applied: the repository's manifest.

    The note of somebody else stays: by it kubectl knows which fields to take back.
    """
    metadata = wanted["metadata"]
    noted = LAST_APPLIED in ((live or {}).get("metadata", {}).get("annotations") or {})
    if live and noted and not ownership.owns(live, MANAGER, _NOTE):
        return wanted
    annotations = {**(metadata.get("annotations") or {}), LAST_APPLIED: _note(manifest)}
    return {**wanted, "metadata": {**metadata, "annotations": annotations}}


def _note(manifest: Object) -> str:
    """A manifest as kubectl notes it, to the byte: what is applied unchanged is then no change."""
    metadata = manifest["metadata"]
    whole = {**manifest, "metadata": {**metadata, "annotations": metadata.get("annotations") or {}}}
    text = orjson.dumps(whole, option=orjson.OPT_SORT_KEYS).decode()
    for sign in "<>&":  # Go writes them so
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f"{text}\n"


def _with_replicas(scaled: Object, replicas: Mapping[str, int | None]) -> Object:
    """`up --replicas N`: at least N, and room for them."""
    spec = scaled["spec"]
    model = str(spec["scaleTargetRef"]["name"]).removesuffix("-predictor")
    count = replicas.get(model)
    if count is None:
        return scaled
    most = max(spec.get("maxReplicaCount", 100), count)
    return {**scaled, "spec": {**spec, "minReplicaCount": count, "maxReplicaCount": most}}
