"""Trainings for programs: /api/runs, JSON in and JSON out; docs/api/runs.yaml describes it.

The Job API stays the service: what is listed, started and cancelled here are training Jobs.
"""

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from controlplane import trainingjobs
from controlplane.console.rights import Rights
from controlplane.console.settings import Settings
from controlplane.console.sources.answer import MALFORMED, SourceError
from controlplane.console.sources.bundle import Sources
from controlplane.console.sources.cluster import ConflictError, Object
from controlplane.errors import SerinError
from controlplane.kubernetes import trainings
from controlplane.store import runs
from controlplane.trainingjobs import Run

BY = "console"
FLAGS, LONGEST_FLAG = 50, 300
WATCHERS = 32
LOOK_SECONDS = 1.0
WATCH_LOOKS = 3600
CREATE_TRIES, TRY_SECONDS = 20, 0.5
"""While what a deleted Job leaves is going."""

_EXAMPLE = '{"model": "iris", "flags": ["--seed=7"]}'

Handler = Callable[["Runs", Request], Awaitable[Response]]


class RefusedError(SerinError):
    """A request that cannot be carried out, with its status."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def _told(handler: Handler) -> Handler:
    """What is refused, as JSON."""

    @functools.wraps(handler)
    async def answer(self: "Runs", request: Request) -> Response:
        try:
            return await handler(self, request)
        except (RefusedError, SourceError) as error:
            return JSONResponse({"error": str(error)}, error.status)
        except SerinError as error:  # the store does not answer
            return JSONResponse({"error": str(error)}, SourceError.status)

    return answer


class Runs:
    """The routes below /api/runs."""

    def __init__(self, settings: Settings, sources: Sources, rights: Rights) -> None:
        self._store = settings.store
        self._rights = rights
        self._cluster = sources.cluster
        self._watchers = 0

    def routes(self) -> list[BaseRoute]:
        """For the console's application, behind its guard."""
        return [
            Route("/api/runs", self.every, methods=["GET"]),
            Route("/api/runs", self.start, methods=["POST"]),
            Route("/api/runs/{run}", self.show, methods=["GET"]),
            Route("/api/runs/{run}/events", self.events, methods=["GET"]),
            Route("/api/runs/{run}/cancel", self.cancel, methods=["POST"]),
        ]

    @_told
    async def every(self, _: Request) -> Response:
        """Every run, the newest first."""
        return JSONResponse({"items": await self.known()})

    @_told
    async def show(self, request: Request) -> Response:
        """One run."""
        return JSONResponse(await self._find(request))

    @_told
    async def start(self, request: Request) -> Response:
        """Start one, unless the model trains already."""
        return JSONResponse(await self.begin(*_asked(await request.body())), 201)

    async def begin(self, model: str, flags: list[str]) -> Run:
        """Start a training of a model with flags of its script.

        Raises:
            SerinError: It is refused; says why.
        """
        await self._may("train")
        try:
            documents = trainingjobs.documents(model)
            job = trainingjobs.job_of(documents, model)
        except SerinError as error:
            raise RefusedError(404, str(error)) from error
        trainingjobs.prepare(job, self._cluster.namespace, flags, BY)
        jobs = await self._jobs()
        if other := trainingjobs.in_the_way(jobs, model):
            raise RefusedError(409, trainingjobs.refusal(other))
        name = job["metadata"]["name"]
        if any(known["metadata"]["name"] == name for known in jobs):
            await self._cluster.delete("jobs", name)
        for document in documents:
            if plural := trainingjobs.BESIDE.get(document["kind"]):
                await self._ensure(plural, document)
        return trainingjobs.run_of(await self._create(job))

    @_told
    async def cancel(self, request: Request) -> Response:
        """End one and remove its Job; what is half published is no version."""
        return JSONResponse(await self.end(await self._find(request)), 202)

    async def end_job(self, name: str, model: str) -> Run:
        """Cancel the run of a Job, for whoever types its model's name.

        Raises:
            SerinError: It is refused; says why.
        """
        known = await self.known()
        run = next((run for run in known if run.get("live") and run.get("job") == name), None)
        if run is None:
            raise RefusedError(404, f"There is no Job {name[:80]}.")
        if model.strip() != run["model"]:
            raise RefusedError(409, f"Type the model's name, {run['model']}, to cancel it.")
        return await self.end(run)

    async def end(self, run: Run) -> Run:
        """Cancel a run.

        Raises:
            SerinError: It is refused; says why.
        """
        await self._may("cancel")
        if run["state"] in trainingjobs.OVER or not run.get("live"):
            raise RefusedError(409, f"Run {run['run']} is over already: {run['state']}.")
        await self._cluster.delete("jobs", run["job"])
        return {**run, "state": "Stopping"}

    @_told
    async def events(self, request: Request) -> Response:
        """A run whenever it changed, as server-sent events, until it is over."""
        if self._watchers >= WATCHERS:
            raise RefusedError(503, f"{WATCHERS} watch already: try again later.")
        run = await self._find(request)
        headers = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._watched(run), headers=headers)

    async def _watched(self, run: Run) -> AsyncIterator[bytes]:
        self._watchers += 1
        try:
            told = ""
            for _ in range(WATCH_LOOKS):
                text = json.dumps(run)
                if text != told:
                    told = text
                    yield f"data: {text}\n\n".encode()
                if run["state"] in trainingjobs.OVER:
                    return
                await asyncio.sleep(LOOK_SECONDS)
                try:
                    run = named(await self.known(), run["run"])
                except SerinError as error:
                    yield f"data: {json.dumps({'error': str(error)})}\n\n".encode()
                    return
        finally:
            self._watchers -= 1

    async def known(self) -> list[Run]:
        """Every run, the newest first.

        Raises:
            SerinError: There is no answer.
        """
        records = await asyncio.to_thread(runs.records, self._store) if self._store else ()
        return trainingjobs.merged(await self._jobs(), records)

    async def _jobs(self) -> list[Object]:
        """Those that can be read."""
        jobs = []
        for job in await self._cluster.list("jobs", trainings.SELECTOR):
            try:
                trainingjobs.run_of(job)
            except MALFORMED:
                continue
            jobs.append(job)
        return jobs

    async def _find(self, request: Request) -> Run:
        return named(await self.known(), request.path_params["run"])

    async def _ensure(self, plural: str, document: Object) -> None:
        """Create what goes with a Job, where it is not there."""
        document["metadata"]["namespace"] = self._cluster.namespace
        try:
            await self._cluster.create(plural, document)
        except ConflictError:
            return

    async def _create(self, job: Object) -> Object:
        for _ in range(CREATE_TRIES):
            try:
                return await self._cluster.create("jobs", job)
            except ConflictError:
                await asyncio.sleep(TRY_SECONDS)
        raise RefusedError(409, f"Another Job {job['metadata']['name']} is there: try again.")

    async def _may(self, action: str) -> None:
        """Refuse before anything is changed: half of it could be allowed."""
        if why := await self._rights.refusal(action):
            raise RefusedError(403, why)


def named(known: list[Run], name: str) -> Run:
    """The run whose name begins so.

    Raises:
        RefusedError: There is none, or there are several.
    """
    found = [run for run in known if name and run["run"].startswith(name)]
    if len(found) != 1:
        how = "There is no run" if not found else "Several runs begin with"
        raise RefusedError(404, f"{how} {name[:80]}.")
    return found[0]


def _asked(body: bytes) -> tuple[str, list[str]]:
    """Model and flags of a request's body."""
    try:
        document: dict[str, Any] = json.loads(body)
        model, flags = document["model"], document.get("flags", [])
        known = set(document) <= {"model", "flags"}
    except MALFORMED as error:
        raise RefusedError(400, f"Expected JSON: {_EXAMPLE}.") from error
    fits = isinstance(flags, list) and len(flags) <= FLAGS
    if not (known and fits and isinstance(model, str) and model) or not all(
        isinstance(flag, str) and len(flag) <= LONGEST_FLAG for flag in flags
    ):
        raise RefusedError(
            400,
            f"Expected a model, and at most {FLAGS} flags of at most {LONGEST_FLAG} characters: "
            f"{_EXAMPLE}.",
        )
    return model, flags
