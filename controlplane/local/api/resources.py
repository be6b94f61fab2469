"""The verbs on objects: get, list, create, update, patch, delete. No HTTP in here."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from controlplane.kubernetes import patchtypes
from controlplane.kubernetes.autoscalers import served
from controlplane.kubernetes.kinds import KINDS, Kind
from controlplane.kubernetes.meta import Object, key_of, now, owned, with_spec_of
from controlplane.kubernetes.refusals import AlreadyExists, BadRequest, Conflict, Invalid, NotFound
from controlplane.local.api.kubectl.selectors import selected
from controlplane.local.api.objects import Objects
from controlplane.local.api.rules.builtin import default_job
from controlplane.local.api.views import view
from controlplane.local.api.writes import deployments, ownership, patches, versions
from controlplane.local.api.writes.admission import Resolve, admit

TRIES = 5
"""How often a patch without resourceVersion is made anew when somebody else was faster."""


@dataclass(frozen=True, slots=True)
class Write:
    """The query parameters of a write."""

    manager: str = "unknown"
    dry_run: bool = False
    validation: str = "Warn"
    """fieldValidation: Strict, Warn or Ignore."""
    force: bool = False
    """Of server-side apply: take fields over from other managers."""
    warnings: tuple[str, ...] = ()


class Resources:
    """The verbs, on a store."""

    def __init__(
        self,
        objects: Objects,
        resolve: Resolve,
        evict: Callable[[str], None],
        record: Callable[[Object, str], None] | None = None,
    ) -> None:
        self.objects = objects
        self._resolve = resolve
        self._record = record
        """Writes an Event about what is not followed of an object."""
        self._evict = evict
        """Ends a pod; its object goes when its process has."""

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """One object.

        Raises:
            NotFound: There is none.
        """
        made = view(kind.name, self.objects)
        if made is None:
            found = self.objects.find(kind.name, namespace, name)
        else:
            key = (kind.name, namespace, name)
            found = next((one for one in made if key_of(one) == key), None)
        if found is None:
            raise NotFound(
                f'{kind.resource} "{name}" not found', group=kind.group, kind=kind.plural, name=name
            )
        return found

    def list_of(self, kind: Kind, namespace: str | None, labels: str, fields: str) -> list[Object]:
        """The objects that fit the selectors; namespace None is all of them."""
        fits = selected(labels, fields)
        made = view(kind.name, self.objects)
        if made is None:
            made = self.objects.list_of(kind.name, namespace)
        elif namespace:
            made = [one for one in made if one["metadata"].get("namespace") == namespace]
        return [one for one in made if fits(one)]

    async def create(
        self, kind: Kind, namespace: str, body: Object, how: Write
    ) -> tuple[Object, list[str]]:
        """Store a new object; returns it and warnings."""
        kind, one, unknown = versions.stored(kind, _body(kind, namespace, "", body), how.validation)
        metadata = one["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        if not metadata.get("name"):
            raise Invalid(
                f'{kind.name} "" is invalid: metadata.name: Required value: name or '
                "generateName is required",
                kind=kind.name,
            )
        if self.objects.find(kind.name, namespace, metadata["name"]):
            raise AlreadyExists(
                f'{kind.resource} "{metadata["name"]}" already exists',
                group=kind.group,
                kind=kind.plural,
                name=metadata["name"],
            )
        for name in ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"):
            metadata.pop(name, None)
        one.pop("status", None)
        warnings, said = await admit(kind, one, None, self.objects, self._resolve, how.validation)
        ownership.updated(None, one, how.manager)
        made = await self._store(kind, one, None, how, said)
        return made, [*unknown, *warnings, *said]

    async def update(
        self, kind: Kind, namespace: str, name: str, body: Object, how: Write, *, status: bool
    ) -> tuple[Object, list[str]]:
        """Replace an object, or only its status; returns it and warnings."""
        one, old = _body(kind, namespace, name, body), self.get(kind, namespace, name)
        kind, one, unknown = versions.stored(kind, one, how.validation)
        if status:
            one = {**one, "spec": old.get("spec", {})}
        warnings, said = await admit(
            kind, one, old, self.objects, self._resolve, how.validation, status=status
        )
        ownership.updated(old, one, how.manager, "status" if status else "")
        made = await self._store(kind, one, old, how, said, status=status)
        return made, [*unknown, *warnings, *said]

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        media_type: str,
        patch: Any,
        how: Write,
        *,
        status: bool,
    ) -> tuple[Object, list[str], bool]:
        """Patch an object; apply may create it. Returns it, warnings, and whether it is new.

        What was changed while admission looked at it is patched again, as the API server does; a
        patch that names a resourceVersion is not.
        """
        if kind.name == "Deployment":
            return await self._patch_deployment(kind, namespace, name, media_type, patch, how)
        for tries_left in reversed(range(TRIES)):
            old = self.objects.find(kind.name, namespace, name)
            if media_type == patchtypes.APPLY:
                config = _body(kind, namespace, name, patch)
                config["metadata"].setdefault("name", name)
                into, config, unknown = versions.stored(kind, config, how.validation)
                one = ownership.applied(old, config, how.manager, force=how.force)
            else:
                old = self.get(kind, namespace, name)
                one = patches.patched(kind, media_type, served(kind, old), patch)
                one = _body(kind, namespace, name, one)
                into, one, unknown = versions.stored(kind, one, how.validation)
                ownership.updated(old, one, how.manager, "status" if status else "")
            if status and old:
                one = {**old, "status": one.get("status", {}), "metadata": one["metadata"]}
            warnings, said = await admit(
                into, one, old, self.objects, self._resolve, how.validation, status=status
            )
            try:
                made = await self._store(into, one, old, how, said, status=status)
            except Conflict:
                if not tries_left or not old or _version(one) != _version(old):
                    raise
            else:
                return made, [*unknown, *warnings, *said], old is None
        raise AssertionError("the last try returns or raises")

    async def _patch_deployment(
        self, kind: Kind, namespace: str, name: str, media_type: str, patch: Any, how: Write
    ) -> tuple[Object, list[str], bool]:
        """In one step: no controller writes in between."""
        old = self.get(kind, namespace, name)
        one = deployments.patched(kind, media_type, old, patch, how.manager)
        return await self._store(kind, one, old, how, ()), [], False

    async def delete(
        self, kind: Kind, namespace: str, name: str, options: Object, *, dry_run: bool
    ) -> Object:
        """Remove an object, and what it owns unless it shall be orphaned."""
        found = self.get(kind, namespace, name)
        wanted = (options.get("preconditions") or {}).get("uid")
        if wanted and wanted != found["metadata"]["uid"]:
            raise Conflict(
                f'Operation cannot be fulfilled on {kind.resource} "{name}": Precondition failed: '
                f"UID in precondition: {wanted}, UID in object meta: {found['metadata']['uid']}"
            )
        if dry_run:
            return found
        if kind.name == "Pod":
            self._evict(name)
            return found
        if kind.name == "Namespace":
            self._empty(name)
        gone = self.objects.delete(kind.name, namespace, name)
        if options.get("propagationPolicy") != "Orphan":
            self.collect(gone["metadata"]["uid"])
        await self.objects.save()
        return gone

    def collect(self, uid: str) -> None:
        """Remove what an object owned. Pods go when their processes have ended."""
        for name in ("Deployment", "ReplicaSet", "HTTPRoute", "ConfigMap", "Secret", "Job"):
            for one in owned(self.objects.list_of(name), uid):
                metadata = one["metadata"]
                self.objects.delete(name, metadata.get("namespace", ""), metadata["name"])
                self.collect(metadata["uid"])

    def _empty(self, namespace: str) -> None:
        for kind in KINDS:
            for one in self.objects.list_of(kind.name, namespace) if kind.namespaced else ():
                if kind.name != "Pod":
                    self.objects.delete(kind.name, namespace, one["metadata"]["name"])

    async def _store(
        self,
        kind: Kind,
        one: Object,
        old: Object | None,
        how: Write,
        said: Sequence[str],
        *,
        status: bool = False,
    ) -> Object:
        """Write, and wait for the disk; a dry run only says what would be."""
        if old is None:
            one["metadata"]["uid"] = str(uuid.uuid4())
            one["metadata"].setdefault("creationTimestamp", now())
            if kind.name == "Job":
                default_job(one)
        if how.dry_run:
            if old is None:
                return {**one, "metadata": {**one["metadata"], "generation": 1}}
            return {**old, "status": one["status"]} if status else with_spec_of(one, old)
        made = self.objects.update(one, status=status) if old else self.objects.create(one)
        if said and self._record:
            self._record(made, f"Accepted, and not followed here: {'; '.join(said)}")
        await self.objects.save()
        return made


def _version(one: Object) -> str | None:
    found: str | None = one["metadata"].get("resourceVersion")
    return found


def _metadata(one: Object) -> Object:
    """An object's metadata, whose names can be looked up."""
    metadata = one.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise BadRequest("metadata must be an object")
    for field in ("name", "generateName", "namespace"):
        if not isinstance(metadata.get(field) or "", str):
            raise BadRequest(f"metadata.{field} must be a string")
    return metadata


def _body(kind: Kind, namespace: str, name: str, body: Any) -> Object:
    """A copy of a request's object, with the URL's kind, namespace and name."""
    if not isinstance(body, dict):
        raise BadRequest("the request's body must be an object")
    try:
        one: Object = orjson.loads(orjson.dumps(body))
    except (TypeError, ValueError) as error:
        raise BadRequest(f"the request's body cannot be kept: {error}") from error
    for field, expected in (("kind", kind.name), ("apiVersion", kind.api_version)):
        if one.setdefault(field, expected) != expected:
            raise BadRequest(
                f"{field} in the body ({one[field]}) does not match the URL ({expected})"
            )
    metadata = _metadata(one)
    if kind.namespaced:
        if metadata.setdefault("namespace", namespace) != namespace:
            raise BadRequest(
                f"the namespace of the provided object does not match the namespace sent on the "
                f"request ({metadata['namespace']} != {namespace})"
            )
    else:
        metadata.pop("namespace", None)
    if name and metadata.setdefault("name", name) != name:
        raise BadRequest(
            f"the name of the object ({metadata['name']}) does not match the name on the URL "
            f"({name})"
        )
    return one
