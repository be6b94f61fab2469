"""A container's environment and volumes on this machine: Secrets, ConfigMaps, folders."""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from controlplane.errors import ManifestError
from controlplane.kubernetes.meta import Object

Tree = Mapping[str, Any]
Find = Callable[[str, str], Object | None]
"""Kind and name → the object of the pod's namespace, or None."""

_REFERENCE = re.compile(r"\$(\$|\(([-._a-zA-Z][-._a-zA-Z0-9]*)\))")


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
            value = _value_from(entry, pod, find)
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


def folders(pod: Tree, own: Path, claims: Path, find: Find) -> dict[str, Path]:
    """Make the container's volumes as folders: mount path → folder.

    Args:
        pod: The pod's spec.
        own: For what goes with the pod: emptyDir, configMap and secret volumes.
        claims: For what outlives it: one folder a PersistentVolumeClaim.
        find: Finds ConfigMaps and Secrets.

    Raises:
        ManifestError: A volume is of a kind that a laptop does not have.
    """
    volumes = {volume["name"]: volume for volume in pod.get("volumes") or ()}
    found: dict[str, Path] = {}
    for mount in pod["containers"][0].get("volumeMounts") or ():
        volume = volumes.get(mount["name"])
        if volume is None:
            raise ManifestError(f'mounts "{mount["name"]}", which is no volume of the pod')
        folder = own / mount["name"]
        match volume:
            case {"persistentVolumeClaim": {"claimName": claim}}:
                folder = claims / claim
                folder.mkdir(parents=True, exist_ok=True)
            case {"emptyDir": _}:
                folder.mkdir(parents=True, exist_ok=True)
            case {"configMap": {"name": name}}:
                _write(folder, _data(find, "ConfigMap", name, optional=False))
            case {"secret": {"secretName": name}}:
                _write(folder, _data(find, "Secret", name, optional=False))
            case _:
                kind = next(iter(volume.keys() - {"name"}), "no source")
                raise ManifestError(
                    f'has a volume "{mount["name"]}" of the kind {kind}; a laptop has emptyDir, '
                    "configMap, secret and persistentVolumeClaim"
                )
        found[mount["mountPath"]] = folder / mount.get("subPath", "")
    return found


def moved(text: str, mounts: Mapping[str, Path]) -> str:
    """A path below a mount path, as the folder that stands for it here; other text as it is."""
    for path, folder in mounts.items():
        if text == path or text.startswith(path.rstrip("/") + "/"):
            return str(folder) + text[len(path.rstrip("/")) :]
    return text


def _all_of(source: Tree, find: Find) -> dict[str, str]:
    for key, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
        if reference := source.get(key):
            optional = reference.get("optional", False)
            return _data(find, kind, reference["name"], optional=optional)
    return {}


def _value_from(entry: Tree, pod: Tree, find: Find) -> str | None:
    source = entry["valueFrom"]
    for key, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if reference := source.get(key):
            optional = reference.get("optional", False)
            data = _data(find, kind, reference["name"], optional=optional)
            if reference["key"] not in data and not optional:
                raise ManifestError(
                    f"couldn't find key {reference['key']} in {kind} {reference['name']}"
                )
            return data.get(reference["key"])
    if field := source.get("fieldRef"):
        here: Any = pod
        for name in field["fieldPath"].split("."):
            here = here.get(name) if isinstance(here, Mapping) else None
        return str(here or "")
    raise ManifestError(
        f"takes env {entry['name']} from {next(iter(source))}, which a laptop lacks"
    )


def _data(find: Find, kind: str, name: str, *, optional: bool) -> dict[str, str]:
    found = find(kind, name)
    if found is None:
        if optional:
            return {}
        raise ManifestError(f'{kind.lower()} "{name}" not found')
    data: Mapping[str, str] = found.get("data") or {}
    if kind == "Secret":
        return {key: base64.b64decode(value).decode() for key, value in data.items()}
    return dict(data)


def _write(folder: Path, data: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path, text in _files(folder, data):
        path.write_text(text, "utf-8")


def _files(folder: Path, data: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    for name, text in data.items():
        yield folder / name, text
