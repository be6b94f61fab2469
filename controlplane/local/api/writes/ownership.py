"""Who set which field: metadata.managedFields and server-side apply. Pure.

Kept simple on purpose: a list is one field, owned as a whole, as CustomResourceDefinitions declare
theirs (listType atomic); the API server follows merge keys into built-in kinds' lists.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from controlplane.kubernetes.meta import Object, now
from controlplane.kubernetes.refusals import BadRequest, Cause, Conflict

Path = tuple[str, ...]
Fields = dict[str, Any]

_SYSTEM = {
    ("metadata", name)
    for name in (
        *("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp"),
        *("managedFields", "selfLink", "generateName"),
        *("deletionTimestamp", "deletionGracePeriodSeconds"),
    )
}


def applied(live: Object | None, config: Object, manager: str, *, force: bool) -> Object:
    """The object after `config` was applied by `manager`, with managedFields.

    Fields that the manager applied before and leaves out now go, unless another manager owns them.

    Raises:
        BadRequest: No manager is named, or the config brings managedFields.
        Conflict: Another manager owns a field that would change, and `force` is not set.
    """
    if not manager:
        raise BadRequest("PatchOptions.meta.k8s.io is invalid: fieldManager: Required value")
    if config["metadata"].get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")
    wanted = dict(_leaves(config))
    base = live or {name: config[name] for name in ("apiVersion", "kind")}
    out: Object = orjson.loads(orjson.dumps(base))
    out.setdefault("metadata", {})
    entries = _entries(out)
    now_there = dict(_leaves(out))
    mine = entries.get((manager, "Apply"), set())
    changed = [path for path, value in wanted.items() if now_there.get(path, _MISSING) != value]
    foreign = {key: paths for key, paths in entries.items() if key != (manager, "Apply")}
    conflicts = [
        (key[0], path)
        for path in changed
        for key, paths in foreign.items()
        if _touches(paths, path)
    ]
    if conflicts and not force:
        raise _conflict(conflicts, config["apiVersion"])
    for path in mine - set(wanted) - set().union(*foreign.values()):
        _remove(out, path)
    for path, value in wanted.items():
        _set(out, path, value)
    for name in ("name", "namespace", "resourceVersion", "uid"):
        if name in config["metadata"]:
            out["metadata"][name] = config["metadata"][name]
    taken = [path for _, path in conflicts]
    for key, paths in entries.items():
        entries[key] = {one for one in paths if not any(_touches({one}, path) for path in taken)}
    entries[manager, "Apply"] = set(wanted)
    _write(out, live, entries)
    return out


def updated(old: Object | None, new: Object, manager: str, subresource: str = "") -> None:
    """Note in `new` that `manager` set what differs from `old`."""
    before, after = dict(_leaves(old)) if old else {}, dict(_leaves(new))
    entries = _entries(old) if old else {}
    changed = {path for path, value in after.items() if before.get(path, _MISSING) != value}
    for key in entries:
        entries[key] = {path for path in entries[key] if path in after and path not in changed}
    operation = f"Update/{subresource}" if subresource else "Update"
    if changed:
        entries[manager, operation] = entries.get((manager, operation), set()) | changed
    _write(new, old, entries)


def owns(one: Object, manager: str, path: Path) -> bool:
    """Whether `manager` applied this field, and nobody changed it since."""
    return path in _entries(one).get((manager, "Apply"), set())


def _entries(one: Object) -> dict[tuple[str, str], set[Path]]:
    found = {}
    for entry in one["metadata"].get("managedFields") or ():
        operation = entry["operation"]
        if entry.get("subresource"):
            operation += f"/{entry['subresource']}"
        found[entry["manager"], operation] = set(_paths(entry.get("fieldsV1", {})))
    return found


def _write(one: Object, old: Object | None, entries: Mapping[tuple[str, str], set[Path]]) -> None:
    """Write managedFields; an entry whose fields are as before keeps its time."""
    earlier = {}
    for entry in (old or {"metadata": {}})["metadata"].get("managedFields") or ():
        operation = "/".join(filter(None, (entry["operation"], entry.get("subresource"))))
        earlier[entry["manager"], operation] = entry
    made = []
    for (manager, operation), paths in sorted(entries.items()):
        if not paths:
            continue
        kind, _, subresource = operation.partition("/")
        entry = {
            "apiVersion": one["apiVersion"],
            "fieldsType": "FieldsV1",
            "fieldsV1": _tree(paths),
            "manager": manager,
            "operation": kind,
            "time": now(),
        }
        if subresource:
            entry["subresource"] = subresource
        known = earlier.get((manager, operation))
        same = known and known["fieldsV1"] == entry["fieldsV1"]
        made.append(known if same else entry)
    if made:
        one["metadata"]["managedFields"] = made
    else:
        one["metadata"].pop("managedFields", None)


_MISSING = object()


def _leaves(one: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    for name, value in one.items():
        inner = (*path, name)
        if inner in _SYSTEM or inner in {("apiVersion",), ("kind",)}:
            continue
        if isinstance(value, dict) and value:
            yield from _leaves(value, inner)
        else:
            yield inner, value


def _touches(paths: set[Path], path: Path) -> bool:
    return any(one == path or one == path[: len(one)] or path == one[: len(path)] for one in paths)


def _set(one: Object, path: Path, value: Any) -> None:
    for name in path[:-1]:
        inner = one.get(name)
        if not isinstance(inner, dict):
            inner = one[name] = {}
        one = inner
    if not (value == {} and isinstance(one.get(path[-1]), dict)):  # an empty object merges
        one[path[-1]] = value


def _remove(one: Object, path: Path) -> None:
    parents = [one]
    for name in path[:-1]:
        inner = parents[-1].get(name)
        if not isinstance(inner, dict):
            return
        parents.append(inner)
    parents[-1].pop(path[-1], None)
    for parent, name in zip(parents[-2::-1], path[-2::-1], strict=True):
        if parent[name] == {}:
            del parent[name]


def _conflict(conflicts: list[tuple[str, Path]], version: str) -> Conflict:
    causes = [
        Cause("FieldManagerConflict", f".{'.'.join(path)}", f'conflict with "{other}"')
        for other, path in conflicts
    ]
    fields = ", ".join(f"{cause.message} using {version}: {cause.field}" for cause in causes)
    count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    return Conflict(f"Apply failed with {count}: {fields}", causes)


def _tree(paths: set[Path]) -> Fields:
    tree: Fields = {}
    for path in sorted(paths):
        here = tree
        for name in path:
            here = here.setdefault(f"f:{name}", {})
    return tree


def _paths(tree: Fields, path: Path = ()) -> Iterator[Path]:
    for name, inner in tree.items():
        if not name.startswith("f:"):
            continue
        here = (*path, name.removeprefix("f:"))
        if any(key.startswith("f:") for key in inner):
            yield from _paths(inner, here)
        else:
            yield here
