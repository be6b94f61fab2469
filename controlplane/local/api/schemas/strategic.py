"""Strategic merge, as Kubernetes merges built-in kinds: lists of objects by their key. Pure."""

from typing import Any

from controlplane.local.api.schemas import Schema

_DROP_ITEMS = "$deleteFromPrimitiveList/"


def merged(schema: Schema, target: Any, patch: Any) -> Any:
    """The target after a strategic merge patch; merge keys are the schema's.

    Args:
        schema: The target's, with x-kubernetes-patch-strategy and -merge-key.
        target: What is there; it is not changed.
        patch: What is laid over it, with kubectl's $patch, $retainKeys and list directives.
    """
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    out = dict(target) if isinstance(target, dict) else {}
    if (kept := patch.get("$retainKeys")) is not None:
        out = {name: value for name, value in out.items() if name in kept}
    for name, value in patch.items():
        if name.startswith(_DROP_ITEMS):
            field = name.removeprefix(_DROP_ITEMS)
            out[field] = [item for item in out.get(field, []) if item not in value]
        elif value is None or (isinstance(value, dict) and value.get("$patch") == "delete"):
            out.pop(name, None)
        elif not name.startswith("$"):
            others = schema.get("additionalProperties")
            inner = schema.get("properties", {}).get(name) or others or {}
            out[name] = _field(inner, out.get(name), value)
    return out


def _field(schema: Schema, target: Any, value: Any) -> Any:
    if isinstance(value, list) and "merge" in schema.get("x-kubernetes-patch-strategy", ""):
        return _items(schema, target or [], value)
    return merged(schema, target, value)


def _items(schema: Schema, target: list[Any], patch: list[Any]) -> list[Any]:
    key = schema.get("x-kubernetes-patch-merge-key")
    if key is None:  # a set of plain values
        return [*target, *(item for item in patch if item not in target)]
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if item.get("$patch") != "replace"]
    out = list(target)
    for item in patch:
        places = [index for index, old in enumerate(out) if old.get(key) == item.get(key)]
        if item.get("$patch") == "delete":
            out = [old for index, old in enumerate(out) if index not in places]
        elif places:
            out[places[0]] = merged(schema.get("items", {}), out[places[0]], item)
        else:
            out.append(item)
    return out
