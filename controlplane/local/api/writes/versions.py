"""What a write brings, in the version that is stored, without what that version does not know."""

from controlplane.kubernetes import autoscalers
from controlplane.kubernetes.kinds import Kind, by_name
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import BadRequest
from controlplane.local.api.schemas import validation


def stored(kind: Kind, one: Object, strict: str) -> tuple[Kind, Object, list[str]]:
    """A kind and an object of it as they are stored, and warnings of unknown fields.

    Raises:
        BadRequest: Unknown fields, where they are refused; or what cannot be converted.
        Invalid: It does not fit the schema of the version that it is in.
    """
    into = by_name(kind.name)
    if into is None or into == kind:
        return kind, one, []
    unknown = pruned(kind, one, strict)
    validation.check(kind, one)
    try:
        return into, autoscalers.stored(one, into.api_version), unknown
    except RecursionError as error:
        raise BadRequest("metadata.annotations: a value is nested too deeply") from error


def pruned(kind: Kind, one: Object, strict: str) -> list[str]:
    """Remove unknown fields, in place; returns a warning of each.

    Raises:
        BadRequest: There are some, and they are refused.
    """
    unknown = [f'unknown field "{path}"' for path in validation.prune(kind, one)]
    if unknown and strict == "Strict":
        raise BadRequest(
            f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: strict '
            f"decoding error: {', '.join(unknown)}"
        )
    return unknown if strict == "Warn" else []
