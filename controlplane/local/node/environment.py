"""A container's variables on this machine, from Secrets, ConfigMaps and its pod."""

import base64
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from controlplane.autoscale.fields import quantity
from controlplane.errors import ManifestError
from controlplane.kubernetes.meta import Object

Tree = Mapping[str, Any]
Find = Callable[[str, str], Object | None]
"""Kind and name → the object of the pod's namespace, or None."""

_REFERENCE = re.compile(r"\$(\$|\(([-._a-zA-Z][-._a-zA-Z0-9]*)\))")
_QUOTED = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")
_HERE = {
    "spec.serviceAccountName": "default",
    **dict.fromkeys(("status.hostIP", "status.hostIPs"), "127.0.0.1"),
    **dict.fromkeys(("status.podIP", "status.podIPs"), "127.0.0.1"),
}


def variables(container: Tree, pod: Tree, find: Find) -> dict[str, str]:
    """The container's variables: envFrom, then env, with $(NAME) filled in.

    Raises:
        ManifestError: A Secret, ConfigMap or key is missing, or a source is not there on a laptop.
    """
    found: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        prefix = source.get("prefix", "")
        found |= {prefix + name: value for name, value in _all_of(source, find).items()}
    for entry in container.get("env") or ():
        if "valueFrom" in entry:
            value = _value_from(entry, container, pod, find)
            if value is not None:
                found[entry["name"]] = value
        else:
            found[entry["name"]] = expanded(entry.get("value", ""), found)
    return found


def expanded(text: str, values: Mapping[str, str]) -> str:
    """Fill in $(NAME); $$ is one $; what is unknown stays as it is written."""

    def fill(found: re.Match[str]) -> str:
        return "$" if found[1] == "$" else values.get(found[2], found[0])

    return _REFERENCE.sub(fill, text)


def data(find: Find, kind: str, name: str, *, optional: bool) -> dict[str, bytes]:
    """What a Secret or a ConfigMap holds.

    Raises:
        ManifestError: It is not there, and is not optional.
    """
    found = find(kind, name)
    if found is None:
        if optional:
            return {}
        raise ManifestError(f'{kind.lower()} "{name}" not found')
    texts, encoded = found.get("data") or {}, found.get("binaryData") or {}
    if kind == "Secret":
        texts, encoded = {}, texts
    return {
        **{key: text.encode() for key, text in texts.items()},
        **{key: base64.b64decode(text) for key, text in encoded.items()},
    }


def field(path: str, pod: Tree) -> str:
    """A field of the pod, by the paths that the downward API has."""
    if quoted := _QUOTED.fullmatch(path):
        return str((pod["metadata"].get(quoted[1]) or {}).get(quoted[2], ""))
    here: Any = pod
    for name in path.split("."):
        here = here.get(name) if isinstance(here, Mapping) else None
    if isinstance(here, Mapping):  # all labels, or all annotations, in a volume
        return "\n".join(f"{key}={json.dumps(value)}" for key, value in sorted(here.items()))
    return str(here or _HERE.get(path, ""))


def amount(reference: Tree, container: Tree) -> str:
    """A container's own bound or request, in units of the divisor; unbounded, the machine's."""
    which, _, name = reference["resource"].partition(".")
    found = ((container.get("resources") or {}).get(which) or {}).get(name)
    if found is None:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        machine = {"cpu": os.cpu_count() or 1, "memory": memory}
        found = machine.get(name, 0) if which == "limits" else 0
    divisor = quantity(reference.get("divisor") or "1", "divisor") or 1000
    return str(math.ceil(quantity(found, reference["resource"]) / divisor))


def _all_of(source: Tree, find: Find) -> dict[str, str]:
    for key, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
        if reference := source.get(key):
            optional = reference.get("optional", False)
            held = data(find, kind, reference["name"], optional=optional)
            return {name: os.fsdecode(value) for name, value in held.items()}
    return {}


def _value_from(entry: Tree, container: Tree, pod: Tree, find: Find) -> str | None:
    source = entry["valueFrom"]
    for key, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if reference := source.get(key):
            optional = reference.get("optional", False)
            held = data(find, kind, reference["name"], optional=optional)
            if reference["key"] not in held and not optional:
                raise ManifestError(
                    f"couldn't find key {reference['key']} in {kind} {reference['name']}"
                )
            value = held.get(reference["key"])
            return None if value is None else os.fsdecode(value)
    if reference := source.get("fieldRef"):
        return field(reference["fieldPath"], pod)
    if reference := source.get("resourceFieldRef"):
        return amount(reference, container)
    raise ManifestError(
        f"takes env {entry['name']} from {next(iter(source), 'nothing')}, which a laptop lacks"
    )
