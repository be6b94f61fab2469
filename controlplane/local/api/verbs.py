"""HTTP to verbs: reads the query, calls resources.py, and writes the answer in the wanted form."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from controlplane.autoscale import horizontal
from controlplane.kubernetes import patchtypes
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import BadRequest, MethodNotAllowed
from controlplane.local.api import bodies, watching
from controlplane.local.api.kubectl import answers, instead, podlogs
from controlplane.local.api.paths import Place
from controlplane.local.api.resources import Resources
from controlplane.local.api.writes import patches, scale

_ONE = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_MANY = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_DONE = {"Succeeded", "Failed"}
Handler = Callable[[Place, Request], Awaitable[Response]]


class Verbs:
    """What can be done with objects, over HTTP."""

    def __init__(self, resources: Resources, logs: Path) -> None:
        self.resources = resources
        self.objects = resources.objects
        self.closing = asyncio.Event()
        """Ends every watch and every followed log."""
        self._logs = logs
        self._handlers: dict[str, Handler] = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_all,
        }

    async def answer(self, place: Place, request: Request) -> Response:
        """Do what a request asks for.

        Raises:
            Refusal: What is wrong with it.
        """
        if place.subresource == "log":
            return self._log(place, request)
        if place.subresource == "scale":
            return await self._scale(place, request)
        verb = (_ONE if place.name else _MANY).get(request.method, "")
        if verb not in place.kind.verbs or (verb == "create" and place.namespace is None):
            raise _not_allowed(place)
        return await self._handlers[verb](place, request)

    async def _get(self, place: Place, request: Request) -> Response:
        if bodies.is_true(request, "watch"):
            return self._watch(place, request)
        found = self.resources.get(place.kind, place.namespace or "", place.name)
        return answers.answer(answers.one_as(_form(request), place.kind, found, _include(request)))

    async def _list(self, place: Place, request: Request) -> Response:
        if bodies.is_true(request, "watch"):
            return self._watch(place, request)
        query = request.query_params
        revision = self.objects.revision
        found = self.resources.list_of(
            place.kind,
            place.namespace,
            query.get("labelSelector", ""),
            query.get("fieldSelector", ""),
        )
        form, include = _form(request), _include(request)
        return answers.answer(answers.many_as(form, place.kind, found, revision, include))

    def _watch(self, place: Place, request: Request) -> Response:
        if "watch" not in place.kind.verbs:
            raise MethodNotAllowed(f"{place.kind.plural} cannot be watched here: list them again")
        query = request.query_params
        since = query.get("resourceVersion", "")
        if since and not (since.isdecimal() and len(since) <= 18):
            raise BadRequest(f"resourceVersion: Invalid value: {since[:40]!r}")
        seconds = query.get("timeoutSeconds") or str(watching.LONGEST_SECONDS)
        if not re.fullmatch(r"\d{1,9}(\.\d+)?", seconds):
            raise BadRequest(f"timeoutSeconds: Invalid value: {seconds[:40]!r}")
        if since not in {"", "0"}:
            self.objects.changes(int(since))  # 410 before the stream begins
        asked = watching.Query(
            kind=place.kind,
            namespace=place.namespace,
            name=place.name,
            labels=query.get("labelSelector", ""),
            fields=query.get("fieldSelector", ""),
            since=since,
            bookmarks=bodies.is_true(request, "allowWatchBookmarks"),
            initial=bodies.is_true(request, "sendInitialEvents"),
            seconds=float(seconds),
            form=_form(request),
            include=_include(request),
        )
        stream = watching.lines(self.objects, asked, self.closing)
        return StreamingResponse(stream, media_type="application/json")

    async def _create(self, place: Place, request: Request) -> Response:
        body, how = await bodies.read(request), bodies.write_of(request)
        made, warnings = await self.resources.create(place.kind, place.namespace or "", body, how)
        return _written(place, request, made, 201, warnings)

    async def _update(self, place: Place, request: Request) -> Response:
        body, how = await bodies.read(request), bodies.write_of(request)
        status = place.subresource == "status"
        made, warnings = await self.resources.update(
            place.kind, place.namespace or "", place.name, body, how, status=status
        )
        return _written(place, request, made, 200, warnings)

    async def _patch(self, place: Place, request: Request) -> Response:
        media_type = bodies.media_type_of(request)
        if media_type not in {
            patchtypes.JSON,
            patchtypes.MERGE,
            patchtypes.STRATEGIC,
            patchtypes.APPLY,
        }:
            raise patches.unsupported(place.kind, media_type)
        body = await bodies.read(request, patch=True)
        made, warnings, created = await self.resources.patch(
            place.kind,
            place.namespace or "",
            place.name,
            media_type,
            body,
            bodies.write_of(request),
            status=place.subresource == "status",
        )
        return _written(place, request, made, 201 if created else 200, warnings)

    async def _delete(self, place: Place, request: Request) -> Response:
        options = await bodies.delete_options(request)
        dry = bodies.is_dry(request, options)
        gone = await self.resources.delete(
            place.kind, place.namespace or "", place.name, options, dry_run=dry
        )
        return answers.answer(answers.deleted(place.kind, gone))

    async def _delete_all(self, place: Place, request: Request) -> Response:
        query, options = request.query_params, await bodies.delete_options(request)
        dry = bodies.is_dry(request, options)
        found = self.resources.list_of(
            place.kind,
            place.namespace,
            query.get("labelSelector", ""),
            query.get("fieldSelector", ""),
        )
        for one in found:
            metadata = one["metadata"]
            await self.resources.delete(
                place.kind,
                metadata.get("namespace", ""),
                metadata["name"],
                options,
                dry_run=dry,
            )
        revision = self.objects.revision
        return answers.answer(answers.many_as("", place.kind, found, revision, ""))

    async def _scale(self, place: Place, request: Request) -> Response:
        found = self.resources.get(place.kind, place.namespace or "", place.name)
        if request.method == "GET":
            return answers.answer(scale.of(found))
        if request.method not in {"PUT", "PATCH"}:
            raise _not_allowed(place)
        is_patch = request.method == "PATCH"
        body = await bodies.read(request, patch=is_patch)
        wanted = scale.patched(found, bodies.media_type_of(request), body) if is_patch else body
        replicas = scale.replicas(wanted, place.name)
        hpas = self.objects.list_of("HorizontalPodAutoscaler", place.namespace)
        scaled = self.objects.list_of("ScaledObject", place.namespace)
        scaled += filter(horizontal.by_hand, hpas)
        if not bodies.is_dry(request, {}):
            found = self.objects.modify(
                place.kind.name,
                place.namespace or "",
                place.name,
                lambda one: one["spec"].update(replicas=replicas),
            )
            await self.objects.save()
        return answers.answer(scale.of(found), warnings=scale.taken_back(found, scaled))

    def _log(self, place: Place, request: Request) -> Response:
        pod = self.resources.get(place.kind, place.namespace or "", place.name)
        query = request.query_params
        first = [container["name"] for container in pod["spec"].get("initContainers") or ()]
        known = [*first, *(container["name"] for container in pod["spec"]["containers"])]
        if (name := query.get("container")) and name not in known:
            raise BadRequest(f"container {name} is not valid for pod {place.name}")
        path = self._logs / (f"{place.name}.{name}.log" if name in first else f"{place.name}.log")
        content, offset = podlogs.read(path, podlogs.wanted(query, time.time()))
        if not bodies.is_true(request, "follow"):
            return PlainTextResponse(content)

        def ended() -> bool:
            now = self.objects.find("Pod", place.namespace or "", place.name)
            return now is None or (now.get("status") or {}).get("phase") in _DONE

        async def stream() -> AsyncIterator[bytes]:
            yield content
            async for more in podlogs.follow(path, offset, ended, self.closing):
                yield more

        return StreamingResponse(stream(), media_type="text/plain")


def _written(
    place: Place, request: Request, one: Object, code: int, warnings: list[str]
) -> Response:
    shown = answers.one_as(_form(request), place.kind, one, _include(request))
    return answers.answer(shown, code, warnings)


def _form(request: Request) -> str:
    return answers.wanted(request.headers.get("accept", ""))


def _include(request: Request) -> str:
    return request.query_params.get("includeObject", "Metadata")


def _not_allowed(place: Place) -> MethodNotAllowed:
    return MethodNotAllowed(instead.sentence(place.kind.plural, place.subresource))
