"""What was served before: a Deployment keeps a ReplicaSet of each template that it had."""

from collections.abc import Collection, Iterable
from typing import Any

from controlplane.errors import SerinError
from controlplane.kubernetes.names import REVISION, SERVED, source
from controlplane.store.catalog import Catalog, Version


def served(replica_sets: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """Deployment → the storage URIs it served, the latest first, each once.

    What never had a ready pod was not served.
    """
    ordered = sorted(
        (one for one in replica_sets if SERVED in one["metadata"]["annotations"]),
        key=_revision,
        reverse=True,
    )
    found: dict[str, list[str]] = {}
    for one in ordered:
        deployment = one["metadata"]["ownerReferences"][0]["name"]
        uris = found.setdefault(deployment, [])
        if (uri := source(one)) not in uris:
            uris.append(uri)
    return found


def target(
    catalog: Catalog,
    model: str,
    current: str,
    replica_sets: Iterable[dict[str, Any]],
    asked: str | None,
    answering: Collection[str] = (),
) -> Version:
    """The version to roll back to.

    Args:
        catalog: What is published.
        model: The InferenceService, and its model.
        current: The storage URI that it is to serve now.
        replica_sets: What its Deployment served.
        answering: The versions that answer now. Where `current` is not among them, its rollout
            failed or is under way, and the way back leads to what answers.
        asked: The beginning of a version; None is the one that was served last before `current`,
            or else, where none was, the one published last before it. A smoke version is asked
            for by name or not at all.

    Raises:
        SerinError: There is none.
    """
    published = catalog.versions(model)
    if asked is not None:
        return catalog.find(model, asked)
    published = [one for one in published if not one.smoke]
    uris = [one.uri for one in published]
    earlier = served(replica_sets).get(f"{model}-predictor", [])
    older = uris[uris.index(current) + 1 :] if current in uris else uris
    back = [uri for uri in earlier if uri.rpartition("/")[2] in answering]
    if current in back:
        back = []
    for uri in (*back, *earlier, *older):
        if uri != current and uri in uris:
            return published[uris.index(uri)]
    raise SerinError(
        f"{model} served nothing before {current.rpartition('/')[2] or 'this'}, and no older "
        "version is published: there is nothing to roll back to."
    )


def _revision(one: dict[str, Any]) -> int:
    return int(one["metadata"]["annotations"][REVISION])
