"""From a request's body to an object that may be stored: pruned, defaulted, checked.

The order is the API server's: decoding, mutating webhooks, schema, validating webhooks.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from controlplane.autoscale import admission as keda
from controlplane.autoscale import horizontal
from controlplane.errors import SerinError
from controlplane.kubernetes.kinds import Kind, by_name
from controlplane.kubernetes.meta import Object, is_of_a_controller
from controlplane.kubernetes.refusals import (
    BadRequest,
    Cause,
    Forbidden,
    NotFound,
    Refusal,
    TooLarge,
)
from controlplane.local.api.objects import Objects
from controlplane.local.api.rules import builtin, fields, gateway, kserve
from controlplane.local.api.schemas import validation
from controlplane.local.api.writes import versions

MOST_PARTS = 20_000
"""Fields and list items of one object; checking them holds the API, for about two seconds."""
_LOG = logging.getLogger(__name__)
Resolve = Callable[[str, str], Awaitable[str | None]]
"""A storage URI without a version, and what was served → one with a version, or None."""

SERVED_NAMESPACE = "models"
"""Where workloads run: a model's name is its host, its processes' and its Envoy clusters' name."""
_WORKLOADS = {
    *("InferenceService", "ServingRuntime", "ScaledObject", "Job", "HTTPRoute"),
    *("SecurityPolicy", "BackendTrafficPolicy", "HorizontalPodAutoscaler"),
}


async def admit(
    kind: Kind,
    one: Object,
    old: Object | None,
    objects: Objects,
    resolve: Resolve,
    strict: str,
    *,
    status: bool = False,
) -> tuple[list[str], list[str]]:
    """Make an object fit to be stored, in place; returns warnings, and what is not followed here.

    Args:
        kind: Its kind.
        one: As it was sent, or as a patch made it.
        old: What is stored, or None at creation.
        objects: The store, for rules that look at other objects.
        resolve: Finds the version of a model that a manifest leaves open.
        strict: What unknown fields do: Strict refuses, Warn warns, Ignore drops them silently.
        status: Whether only the status is written.

    Raises:
        Refusal: What is wrong, in the words of who would refuse it in a cluster.
    """
    try:
        return await _admitted(kind, one, old, objects, resolve, strict, status=status)
    except SerinError:
        raise
    except Exception as error:
        _LOG.exception("%s %s", kind.name, one["metadata"].get("name"))
        raise BadRequest(
            f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: '
            f"{type(error).__name__}: {error}"
        ) from error


async def _admitted(
    kind: Kind,
    one: Object,
    old: Object | None,
    objects: Objects,
    resolve: Resolve,
    strict: str,
    *,
    status: bool,
) -> tuple[list[str], list[str]]:
    if next(islice(_parts(one), MOST_PARTS, None), False):
        raise TooLarge(f"limit is {MOST_PARTS} fields and items in an object on a laptop")
    unknown = versions.pruned(kind, one, strict)
    builtin.decode(kind.name, one)
    if kind.name == "InferenceService":
        kserve.default(one)
    if kind.name == "HorizontalPodAutoscaler":
        horizontal.fill(one)
    validation.fill_defaults(kind, one)
    validation.check(kind, one, new=old is None)
    _refuse(kind, one, builtin.metadata_causes(kind.name, one))
    if old:
        _refuse(kind, one, builtin.update_causes(old, one))
    if old and status and kind.name == "Job":
        _refuse(kind, one, builtin.status_causes(old, one))
    _namespace(kind, one, objects)
    await _rules(kind, one, old, objects, resolve)
    refused, said = ([], []) if status else fields.outcomes(kind, one)
    _refuse(kind, one, refused)
    return unknown, said


def _parts(value: Any) -> Iterator[bool]:
    """One for each field, and for each item of a list, at any depth."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield True
        yield from _parts(one)


async def _rules(
    kind: Kind, one: Object, old: Object | None, objects: Objects, resolve: Resolve
) -> None:
    match kind.name:
        case "InferenceService":
            kserve.refuse(one, old)
            await name_versions(one, old, resolve)
        case "ScaledObject":
            _refuse_scaled_object(one, objects)
        case "HorizontalPodAutoscaler":
            _refuse_autoscaler(kind, one, objects)
        case "Job":
            _refuse(kind, one, builtin.job_causes(one))
        case "HTTPRoute" if old is None or not is_of_a_controller(old):
            _refuse(kind, one, gateway.causes(one, filter(_fits, objects.list_of("HTTPRoute"))))
        case "Secret":
            builtin.secret_data(one)
        case "Namespace":
            one.setdefault("status", {"phase": "Active"})


def _refuse(kind: Kind, one: Object, causes: Iterable[Cause]) -> None:
    if found := list(causes):
        raise validation.invalid(kind, one["metadata"]["name"], found)


def _refuse_scaled_object(one: Object, objects: Objects) -> None:
    namespace, name = one["metadata"]["namespace"], one["metadata"]["name"]
    others = objects.list_of("ScaledObject", namespace)
    target = objects.find("Deployment", namespace, one["spec"]["scaleTargetRef"]["name"])
    requests = None
    if target:
        requests = [
            {"name": container["name"], **(container.get("resources") or {}).get("requests", {})}
            for container in target["spec"]["template"]["spec"]["containers"]
        ]
    others = [other for other in others if other["metadata"]["name"] != name and _fits(other)]
    hpas = filter(horizontal.by_hand, objects.list_of("HorizontalPodAutoscaler", namespace))
    for complaint in keda.refusals(one, others, requests, hpas):
        raise Forbidden(f'admission webhook "vscaledobject.kb.io" denied the request: {complaint}')


def _refuse_autoscaler(kind: Kind, one: Object, objects: Objects) -> None:
    """What the API server refuses of an HPA, and a second autoscaler of the same Deployment."""
    if not horizontal.by_hand(one):
        return  # KEDA's own, which its ScaledObject writes again
    if wrong := horizontal.refusal(one):
        path, words = wrong
        _refuse(kind, one, [Cause("FieldValueInvalid", path, f"Invalid value: {words}")])
    metadata, target = one["metadata"], one["spec"]["scaleTargetRef"]["name"]
    for other in (
        *objects.list_of("ScaledObject", metadata["namespace"]),
        *filter(horizontal.by_hand, objects.list_of(kind.name, metadata["namespace"])),
    ):
        name, word = other["metadata"]["name"], by_name(other["kind"])
        if word is None or (word == kind and name == metadata["name"]):
            continue
        if other["spec"]["scaleTargetRef"]["name"] == target:
            raise Forbidden(
                f'{kind.resource} "{metadata["name"]}" is forbidden: {word.singular} {name} scales '
                f"{target} already, and two autoscalers of a Deployment stop each other in a "
                f"cluster (AmbiguousSelector); remove that one first: kubectl delete "
                f"{word.singular} {name}"
            )


def _fits(one: Object) -> bool:
    """Whether an object is one that this API would take; a file of before may hold others."""
    kind = by_name(one["kind"])
    try:
        if kind:
            validation.check(kind, one)
    except Refusal:
        return False
    return True


async def name_versions(service: Object, old: Object | None, resolve: Resolve) -> None:
    """Write a version into every storageUri that names none: the chosen one, or the newest.

    So a rollback or a patch outlives whoever applies the repository's manifests again, which name
    no version. In a cluster an overlay writes it; `storageUri: s3://models/iris` there would
    download every version. What has no published version stays as it is, and the InferenceService
    says so.
    """
    models, chosen = _models(service), _models(old) if old else {}
    uris = await asyncio.gather(
        *(
            resolve(model.get("storageUri", ""), chosen.get(name, {}).get("storageUri", ""))
            for name, model in models.items()
        )
    )
    for model, uri in zip(models.values(), uris, strict=True):
        if uri:
            model["storageUri"] = uri


def _models(service: Object) -> dict[str, Any]:
    """Predictor's name → its model; stable's name is empty."""
    predictors = [service["spec"]["predictor"]]
    predictors += [canary["predictor"] for canary in service["spec"].get("canary") or ()]
    return {
        str(predictor.get("name") or ""): predictor["model"]
        for predictor in predictors
        if "model" in predictor
    }


def _namespace(kind: Kind, one: Object, objects: Objects) -> None:
    if not kind.namespaced:
        return
    namespace: Any = one["metadata"].get("namespace")
    if objects.find("Namespace", "", namespace) is None:
        raise NotFound(f'namespaces "{namespace}" not found', kind="namespaces", name=namespace)
    if kind.name in _WORKLOADS and namespace != SERVED_NAMESPACE:
        raise Forbidden(
            f'{kind.resource} "{one["metadata"].get("name", "")}" is forbidden: this laptop runs '
            f"workloads of the namespace {SERVED_NAMESPACE} only"
        )
