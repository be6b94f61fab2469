"""Which object a URL names. Pure."""

from dataclasses import dataclass

from controlplane.kubernetes.kinds import Kind, by_path
from controlplane.kubernetes.refusals import MethodNotAllowed, NotFound
from controlplane.local.api.kubectl import instead

MISSING = instead.ABSENT


@dataclass(frozen=True, slots=True)
class Place:
    """What a URL names: objects of a kind, or one of them, or a part of it."""

    kind: Kind
    namespace: str | None
    """None: every namespace."""
    name: str
    subresource: str


def locate(path: str) -> Place:
    """Read /api/v1/… and /apis/<group>/<version>/….

    Raises:
        NotFound: Nothing is served there.
    """
    parts = path.strip("/").split("/")
    if parts[:2] == ["api", "v1"]:
        group, version, rest = "", "v1", parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise NotFound(MISSING)
    namespace: str | None = None
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in {"status", "finalize"}:
        namespace, rest = rest[1], rest[2:]
    kind = by_path(group, version, rest[0])
    rest += [""] * (3 - len(rest))
    if kind is None:
        raise NotFound(instead.absent(rest[0]))
    if rest[2] and instead.is_known(kind.plural, rest[2]):
        raise MethodNotAllowed(instead.sentence(kind.plural, rest[2]))
    if len(rest) > 3 or (rest[2] and rest[2] not in kind.subresources):
        raise NotFound(MISSING)
    if not kind.namespaced:
        namespace = ""
    elif namespace is None and rest[1]:
        raise NotFound(MISSING)
    return Place(kind, namespace, rest[1], rest[2])
