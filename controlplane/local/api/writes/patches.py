"""The patches that kubectl sends, applied to an object: JSON, merge and strategic merge. Pure.

Server-side apply is in ownership.py.
"""

from typing import Any, cast

import jsonpatch

from controlplane.kubernetes.kinds import Kind
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.patchtypes import APPLY, JSON, MERGE, STRATEGIC
from controlplane.kubernetes.refusals import BadRequest, Cause, Invalid, UnsupportedMediaType
from controlplane.local.api.schemas import schema_of, strategic

_MOST_COPIES = 12


def patched(kind: Kind, media_type: str, live: Object, patch: Any) -> Object:
    """The object after a patch; the live one is not changed.

    Raises:
        UnsupportedMediaType: The kind does not take this type of patch.
        BadRequest: The patch makes no sense.
        Invalid: A JSON patch's test failed, or its path is not there.
    """
    if media_type == JSON:
        return _json(live, patch)
    if media_type == MERGE:
        return cast("Object", merged(live, _mapping(patch)))
    if media_type == STRATEGIC and not kind.is_custom:
        return cast("Object", strategic.merged(schema_of(kind), live, _mapping(patch)))
    raise unsupported(kind, media_type)


def unsupported(kind: Kind, media_type: str) -> UnsupportedMediaType:
    """A 415 that says which types there are."""
    types = [JSON, MERGE, APPLY] if kind.is_custom else [JSON, MERGE, STRATEGIC, APPLY]
    return UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: "
        f"{', '.join(types)}" + (f" (got {media_type})" if media_type not in STRATEGIC else "")
    )


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            out.pop(name, None)
        else:
            out[name] = merged(out.get(name), value)
    return out


def _json(live: Object, patch: Any) -> Object:
    if not isinstance(patch, list):
        raise BadRequest("a JSON patch is a list of operations")
    copies = sum(isinstance(one, dict) and one.get("op") == "copy" for one in patch)
    if len(patch) > 10_000 or copies > _MOST_COPIES:  # each may double the object
        raise BadRequest(
            f"the patch has {len(patch)} operations, {copies} of them copies; at most 10000 and "
            f"{_MOST_COPIES} are taken"
        )
    try:
        found: Object = jsonpatch.apply_patch(live, patch, in_place=False)
    except (
        jsonpatch.JsonPatchTestFailed,
        jsonpatch.JsonPatchConflict,
        jsonpatch.JsonPointerException,
    ) as error:  # the object is not as the patch thought
        said = f"the server rejected our request due to an error in our request: {error}"
        raise Invalid(said, [Cause("FieldValueInvalid", "patch", str(error))]) from error
    except (jsonpatch.JsonPatchException, KeyError, TypeError) as error:
        raise BadRequest(f"the patch is no JSON patch: {error}") from error
    return found


def _mapping(patch: Any) -> dict[str, Any]:
    if not isinstance(patch, dict):
        raise BadRequest("the patch must be an object")
    return patch
