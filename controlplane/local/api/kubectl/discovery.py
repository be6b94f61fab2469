"""What the API offers, in both forms of discovery: aggregated and one by one. Pure."""

from collections.abc import Iterator
from typing import Any

from controlplane.kubernetes.kinds import SERVED, Kind
from controlplane.kubernetes.meta import Object

AGGREGATED = "APIGroupDiscoveryList"
VERSION = {
    "major": "1",
    "minor": "33",
    "gitVersion": "v1.33.0+serin",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "laptop",
}
"""What kubectl compares itself with: 1.32 to 1.34 say nothing of it."""

_SCALE = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
_UPDATES = ("get", "patch", "update")


def verbs_of(kind: Kind, part: str) -> tuple[str, ...]:
    """What can be done with a kind's objects, or with a part of them; nothing where it has none."""
    if not part:
        return kind.verbs
    if part not in kind.subresources:
        return ()
    return ("get",) if part == "log" else _UPDATES


def groups() -> dict[str, dict[str, list[Kind]]]:
    """Group → version → kinds; the core group is empty."""
    found: dict[str, dict[str, list[Kind]]] = {}
    for kind in SERVED:
        found.setdefault(kind.group, {}).setdefault(kind.version, []).append(kind)
    return found


def aggregated(*, core: bool, version: str) -> Object:
    """All of /api or of /apis in one document."""
    items = [
        {
            "metadata": {"name": group} if group else {},
            "versions": [
                {
                    "version": name,
                    "resources": [_discovered(kind) for kind in kinds],
                    "freshness": "Current",
                }
                for name, kinds in versions.items()
            ],
        }
        for group, versions in groups().items()
        if core is (group == "")
    ]
    return {
        "kind": AGGREGATED,
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def versions(server: str) -> Object:
    """GET /api."""
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def group_list() -> Object:
    """GET /apis."""
    found = [group_of(group) for group in groups() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group_of(group: str) -> Object:
    """GET /apis/<group>."""
    named = [
        {"groupVersion": f"{group}/{version}", "version": version} for version in groups()[group]
    ]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": group,
        "versions": named,
        "preferredVersion": named[0],
    }


def resource_list(group: str, version: str) -> Object | None:
    """GET /api/v1 and /apis/<group>/<version>; None where there is no such version."""
    kinds = groups().get(group, {}).get(version)
    if kinds is None:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": kinds[0].api_version,
        "resources": [entry for kind in kinds for entry in _resources(kind)],
    }


def _discovered(kind: Kind) -> dict[str, Any]:
    own = {"group": "", "version": "", "kind": kind.name}
    entry: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.name},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short:
        entry["shortNames"] = list(kind.short)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.subresources:
        entry["subresources"] = [
            {
                "subresource": name,
                "responseKind": _SCALE if name == "scale" else own,
                "verbs": list(verbs_of(kind, name)),
            }
            for name in kind.subresources
        ]
    return entry


def _resources(kind: Kind) -> Iterator[dict[str, Any]]:
    entry: dict[str, Any] = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.name,
        "verbs": list(kind.verbs),
    }
    if kind.short:
        entry["shortNames"] = list(kind.short)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    yield entry
    for name in kind.subresources:
        sub: dict[str, Any] = {
            "name": f"{kind.plural}/{name}",
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": "Scale" if name == "scale" else kind.name,
            "verbs": list(verbs_of(kind, name)),
        }
        if name == "scale":
            sub |= {"group": "autoscaling", "version": "v1"}
        yield sub
