"""A pod's volumes as folders of this machine, and the paths of a container that lead there."""

import re
from collections.abc import Mapping
from pathlib import Path

from controlplane.errors import ManifestError
from controlplane.local.node import environment
from controlplane.local.node.environment import Find, Tree

_DEFAULT_MODE = 0o644


def mounted(
    container: Tree, pod: Tree, own: Path, claims: Path, find: Find, env: Mapping[str, str]
) -> dict[str, Path]:
    """Make a container's volumes: mount path → folder or file.

    Args:
        container: Mounts them.
        pod: The pod; its spec has the volumes.
        own: For what goes with the pod: emptyDir and what is written from objects.
        claims: For what outlives it: one folder a PersistentVolumeClaim.
        find: Finds ConfigMaps and Secrets.
        env: Fills in a subPathExpr.

    Raises:
        ManifestError: A volume is of a kind that a laptop does not have, or what it takes its
            content from is not there.
    """
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    found: dict[str, Path] = {}
    for mount in container.get("volumeMounts") or ():
        volume = volumes.get(mount["name"])
        if volume is None:
            raise ManifestError(f'mounts "{mount["name"]}", which is no volume of the pod')
        if mount["mountPath"].strip("/") == "":
            raise ManifestError("mounts a volume at /, which is this machine's own")
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        root = inside(claims, claim) if claim else inside(own, mount["name"])
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not claim and "emptyDir" not in volume:
            _fill(root, volume, container, pod, find)
        part = mount.get("subPath") or environment.expanded(mount.get("subPathExpr", ""), env)
        folder = inside(root, part) if part else root
        if part and not folder.exists():
            folder.mkdir(parents=True)
        found[mount["mountPath"].rstrip("/")] = folder
    return found


def inside(folder: Path, part: str) -> Path:
    """A path below a folder.

    Raises:
        ManifestError: It would not be below it.
    """
    path = folder / part
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ManifestError(f"asks for {part!r}, which is not inside of its folder")
    return path


def moved(text: str, mounts: Mapping[str, Path]) -> str:
    """A text with every path below a mount path as the folder that stands for it here.

    A path begins where no letter, digit, dot, dash or slash is before it: `--out=/data/x` and
    `ls /data` hold /data, http://host/data and /mydata do not.
    """
    if not mounts:
        return text
    longest = sorted(mounts, key=len, reverse=True)
    paths = "|".join(re.escape(path) for path in longest)
    pattern = rf"(?<![\w./-])({paths})(?![\w.-])"
    return re.sub(pattern, lambda found: str(mounts[found[1]]), text)


def _fill(root: Path, volume: Tree, container: Tree, pod: Tree, find: Find) -> None:
    """Write a volume's files, those of a projected one from each of its sources."""
    projected = volume.get("projected") or {}
    mode = _DEFAULT_MODE
    for source in projected.get("sources") or [volume]:
        for kind, key in (("configMap", "name"), ("secret", "secretName")):
            if (reference := source.get(kind)) is None:
                continue
            name = reference.get(key) or reference["name"]
            held = environment.data(
                find, kind[0].upper() + kind[1:], name, optional=reference.get("optional", False)
            )
            mode = reference.get("defaultMode", projected.get("defaultMode", _DEFAULT_MODE))
            for item in reference.get("items") or [{"key": key, "path": key} for key in held]:
                if item["key"] in held:
                    _write(root, item, held[item["key"]], mode)
                elif not reference.get("optional"):
                    raise ManifestError(f"references non-existent key {item['key']} of {name}")
        downward = source.get("downwardAPI")
        for item in (downward or {}).get("items") or ():
            if reference := item.get("fieldRef"):
                text = environment.field(reference["fieldPath"], pod)
            else:
                text = environment.amount(item["resourceFieldRef"], container)
            _write(root, item, text.encode(), (downward or {}).get("defaultMode", mode))
        if not source.keys() & {"configMap", "secret", "downwardAPI"}:
            kind = next(iter(source.keys() - {"name"}), "no source")
            raise ManifestError(f"has a volume of the kind {kind}, which a laptop does not have")


def _write(root: Path, item: Tree, content: bytes, mode: int) -> None:
    path = inside(root, item["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # it may be read-only
    path.write_bytes(content)
    path.chmod(item.get("mode", mode))
