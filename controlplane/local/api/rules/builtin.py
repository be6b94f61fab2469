"""What the API server itself fills into built-in kinds, and refuses of them. Pure."""

import re
from collections.abc import Iterator
from typing import Any

from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import BadRequest, Cause
from controlplane.local.api.schemas.expressions import is_subdomain

_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_WHOLE = re.compile(r"^(?:[A-Za-z0-9+/]{4})*")
_IMMUTABLE = {
    "Job": (
        *("template", "selector", "completions", "completionMode", "podFailurePolicy"),
        *("backoffLimitPerIndex", "successPolicy", "managedBy"),
    )
}


def metadata_causes(kind: str, one: Object) -> Iterator[Cause]:
    """What is wrong with an object's name."""
    name = one["metadata"]["name"]
    if kind == "Namespace" and (len(name) > 63 or "." in name):
        said = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or"
        said = f"Invalid value: \"{name}\": {said} '-', and be at most 63 characters long"
        yield Cause("FieldValueInvalid", "metadata.name", said)
    elif not is_subdomain(name):
        yield Cause(
            "FieldValueInvalid",
            "metadata.name",
            f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case '
            "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric "
            "character (e.g. 'example.com'), and be at most 253 characters long",
        )


def decode(kind: str, one: Object) -> None:
    """Do what decoding a built-in kind does before its schema is checked: defaults, and base64.

    Raises:
        BadRequest: A value is no base64.
    """
    if kind == "Job":
        spec: Any = one.get("spec")
        policy = spec.get("podFailurePolicy") if isinstance(spec, dict) else None
        rules = policy.get("rules") if isinstance(policy, dict) else None
        for rule in rules if isinstance(rules, list) else ():
            patterns = rule.get("onPodConditions") if isinstance(rule, dict) else None
            for pattern in patterns if isinstance(patterns, list) else ():
                if isinstance(pattern, dict):
                    pattern.setdefault("status", "True")
    held = one.get({"Secret": "data", "ConfigMap": "binaryData"}.get(kind, ""))
    for value in held.values() if isinstance(held, dict) else ():
        text = value.replace("\n", "").replace("\r", "") if isinstance(value, str) else ""
        if not _BASE64.fullmatch(text):
            place = len(text) - len(_WHOLE.sub("", text, count=1))
            raise BadRequest(
                f'{kind} in version "v1" cannot be handled as a {kind}: illegal base64 data at '
                f"input byte {place}"
            )


def update_causes(old: Object, one: Object) -> Iterator[Cause]:
    """What may not change: a Job's pods and how they are counted, data that says immutable."""
    spec, before = one.get("spec") or {}, old.get("spec") or {}
    for name in _IMMUTABLE.get(one["kind"], ()):
        if spec.get(name, before.get(name)) != before.get(name):
            said = "Invalid value: field is immutable"
            yield Cause("FieldValueInvalid", f"spec.{name}", said)
    if old.get("immutable"):
        for name in ("data", "binaryData", "immutable"):
            if one.get(name) != old.get(name):
                said = "Forbidden: field is immutable when `immutable` is set"
                yield Cause("FieldValueForbidden", name, said)


def status_causes(old: Object, one: Object) -> Iterator[Cause]:
    """What a write of a Job's status must not take away."""
    before, after = old.get("status") or {}, one.get("status") or {}
    if "startTime" in before and "startTime" not in after and not old["spec"].get("suspend"):
        said = "Required value: startTime cannot be removed for unsuspended job"
        yield Cause("FieldValueRequired", "status.startTime", said)


def default_job(job: Object) -> None:
    """Fill in a Job's defaults and the labels that tie its pods to it; needs its uid."""
    spec = job["spec"]
    for name, value in {
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "completions": 1,
        "manualSelector": False,
        "parallelism": 1,
        "podReplacementPolicy": "TerminatingOrFailed",
        "suspend": False,
    }.items():
        spec.setdefault(name, value)
    uid, name = job["metadata"]["uid"], job["metadata"]["name"]
    labels = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    spec.setdefault("selector", {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}})
    template = spec["template"].setdefault("metadata", {})
    template["labels"] = {**(template.get("labels") or {}), **labels}
    job["metadata"]["labels"] = {**(job["metadata"].get("labels") or {}), **labels}
    pod = spec["template"]["spec"]
    pod.setdefault("terminationGracePeriodSeconds", 30)


def job_causes(job: Object) -> Iterator[Cause]:
    """What is wrong with a Job: its restart policy, and what cannot run here."""
    spec = job["spec"]
    policy = spec["template"]["spec"].get("restartPolicy")
    if policy not in {"Never", "OnFailure"}:
        yield Cause(
            "FieldValueNotSupported" if policy else "FieldValueRequired",
            "spec.template.spec.restartPolicy",
            f"{f'Unsupported value: {_quoted(policy)}' if policy else 'Required value: valid'}: "
            'supported values: "OnFailure", "Never"',
        )
    if len(spec["template"]["spec"]["containers"]) != 1:
        yield Cause(
            "FieldValueInvalid",
            "spec.template.spec.containers",
            "Invalid value: a laptop runs Jobs with one container",
        )


def secret_data(secret: Object) -> None:
    """Move stringData into data, as writing a Secret does."""
    import base64

    for name, text in (secret.pop("stringData", None) or {}).items():
        secret.setdefault("data", {})[name] = base64.b64encode(text.encode()).decode()
    secret.setdefault("type", "Opaque")


def _quoted(value: Any) -> str:
    return f'"{value}"'
