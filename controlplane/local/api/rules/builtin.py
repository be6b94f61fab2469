"""What the API server itself fills into built-in kinds, and refuses of them. Pure."""

import re
from collections.abc import Iterator
from typing import Any

from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import Cause

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"


def metadata_causes(one: Object) -> Iterator[Cause]:
    """What is wrong with an object's name or labels."""
    name = one["metadata"]["name"]
    if len(name) > 253 or not re.fullmatch(_SUBDOMAIN, name):
        yield Cause(
            "FieldValueInvalid",
            "metadata.name",
            f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case '
            "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric "
            f"character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')",
        )
    for key, value in (one["metadata"].get("labels") or {}).items():
        if not re.fullmatch(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", value) or (
            len(value) > 63
        ):
            yield Cause(
                "FieldValueInvalid",
                "metadata.labels",
                f'Invalid value: "{value}": a valid label must be an empty string or consist of '
                f"alphanumeric characters, '-', '_' or '.' (label {key})",
            )


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


def job_causes(job: Object, old: Object | None) -> Iterator[Cause]:
    """What is wrong with a Job: its restart policy, what must not change, what cannot run here."""
    spec = job["spec"]
    policy = spec["template"]["spec"].get("restartPolicy")
    if policy not in {"Never", "OnFailure"}:
        yield Cause(
            "FieldValueNotSupported" if policy else "FieldValueRequired",
            "spec.template.spec.restartPolicy",
            f"{f'Unsupported value: {_quoted(policy)}' if policy else 'Required value: valid'}: "
            'supported values: "OnFailure", "Never"',
        )
    for name in ("parallelism", "completions"):
        if spec.get(name, 1) not in {0, 1}:
            yield Cause(
                "FieldValueInvalid",
                f"spec.{name}",
                f"Invalid value: {spec[name]}: a laptop runs one pod of a Job at a time",
            )
    if len(spec["template"]["spec"]["containers"]) != 1:
        yield Cause(
            "FieldValueInvalid",
            "spec.template.spec.containers",
            "Invalid value: a laptop runs Jobs with one container",
        )
    if old and old["spec"]["template"] != spec["template"]:
        yield Cause(
            "FieldValueInvalid",
            "spec.template",
            "Invalid value: field is immutable",
        )


def secret_data(secret: Object) -> None:
    """Move stringData into data, as writing a Secret does."""
    import base64

    for name, text in (secret.pop("stringData", None) or {}).items():
        secret.setdefault("data", {})[name] = base64.b64encode(text.encode()).decode()
    secret.setdefault("type", "Opaque")


def _quoted(value: Any) -> str:
    return f'"{value}"'
