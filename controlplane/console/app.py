"""The console's routes: a page each, and what forms send."""

import contextlib
import json
import shlex
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from controlplane.console import actions
from controlplane.console.fields import fields
from controlplane.console.guard import Guard
from controlplane.console.live import Live
from controlplane.console.pages import (
    alerts,
    form,
    lines,
    model,
    models,
    rollout,
    scaling,
    versions,
)
from controlplane.console.pages.form import Answered, Form
from controlplane.console.render import STATIC, Renderer
from controlplane.console.replays import Replays
from controlplane.console.rights import Rights
from controlplane.console.runs import Runs
from controlplane.console.settings import Settings
from controlplane.console.sources.answer import MALFORMED, Answer, SourceError, answered
from controlplane.console.sources.bundle import Sources
from controlplane.console.sources.cluster import Object
from controlplane.console.sources.gateway import Address
from controlplane.console.swaps import Swaps
from controlplane.console.trainings import Trainings
from controlplane.rollout.plan import Plan

_EVENTS = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}


class Console:
    """One console: its sources, and a handler for each page."""

    def __init__(self, settings: Settings, sources: Sources) -> None:
        self._settings = settings
        self._sources = sources
        self._live = Live(sources.cluster)
        self._rights = Rights(settings, sources.cluster)
        self._runs = Runs(settings, sources, self._rights)
        self._render = Renderer(settings, sources.cluster.namespace)
        self._trainings = Trainings(settings, sources, self._runs, self._rights, self._render)
        self._swaps = Swaps(settings, sources, self._rights, self._render)
        self._replays = Replays(settings, sources, self._render)

    def app(self) -> ASGIApp:
        """The application, guarded."""
        routes = [
            Route("/", self.models),
            Route("/models/{name}", self.model),
            Route("/models/{name}/try", self.try_it, methods=["GET", "POST"]),
            Route("/models/{name}/stream", self.stream, methods=["POST"]),
            Route("/models/{name}/actions/{action}", self.act, methods=["POST"]),
            Route("/rollouts", self.rollouts),
            Route("/rollouts/{name}", self.rollout),
            *self._swaps.routes(),
            *self._trainings.routes(),
            Route("/scaling", self.scaling),
            *self._replays.routes(),
            Route("/scaling/{name}/bounds", self.bound, methods=["POST"]),
            Route("/alerts", self.alerts),
            Route("/alerts/{name}", self.runbook),
            Route("/registry", self.registry),
            Route("/registry/diff", self.diff),
            Route("/registry/verify", self.verify, methods=["POST"]),
            Route("/events", self.events),
            *self._runs.routes(),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
        app = Starlette(
            routes=routes,
            exception_handlers={
                HTTPException: self._failed,
                SourceError: self._failed,
                Exception: self._failed,
            },
            lifespan=self._lifespan,
        )
        return Guard(GZipMiddleware(app, minimum_size=1000), self._settings)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        self._live.stop()
        await self._sources.close()

    async def models(self, request: Request) -> Response:
        """Every model."""
        page = await models.page(self._sources)
        return self._render(request, "models.html", page=page, here="models")

    async def model(self, request: Request) -> Response:
        """One model."""
        minutes = _minutes(request, model.PERIODS)
        name = request.path_params["name"]
        page = await model.page(self._sources, name, minutes, request.query_params.get("pod", ""))
        if page is None:
            raise HTTPException(404, f"There is no model {name}.")
        current = await answered(rollout.page(self._sources, name), None)
        asking = await answered(self._form(name), None)
        return self._render(
            request,
            "model.html",
            page=page,
            rollout=current,
            form=asking,
            refused=await self._rights.refusals("weight", "start", "rollback"),
            starts=actions.can_start(self._settings),
            plan=Plan(),
            lines=actions.lines(name, self._settings.command),
            look=lines.looked_at(name),
            periods=model.PERIODS,
            here="models",
        )

    async def try_it(self, request: Request) -> Response:
        """The form alone, and what came of it."""
        name = request.path_params["name"]
        document = await self._service(name)
        address = Address.of(document)
        metadata = await self._sources.gateway.metadata(address)
        asking = self._form_of(metadata, await self._sample(document))
        outcome: Answered | None = None
        told: lines.Lines = []
        problem = ""
        given: dict[str, Any] = {}
        if request.method == "POST":
            given = await fields(request)
            try:
                body = form.request(asking, given)
                began = time.perf_counter()
                reply = await self._sources.gateway.infer(address, body)
                seconds = time.perf_counter() - began
                outcome = form.answer(reply.status, reply.text(), seconds, metadata)
                told = lines.asked(self._sources.gateway, address, body)
            except SourceError as error:
                problem = str(error)
        return self._render(
            request,
            "try.html",
            name=name,
            form=Answer(asking),
            given=given,
            outcome=outcome,
            lines=told,
            problem=problem,
            here="models",
        )

    async def stream(self, request: Request) -> Response:
        """A text in pieces, as server-sent events: what the script of the form reads."""
        name = request.path_params["name"]
        address = Address.of(await self._service(name))
        metadata = await self._sources.gateway.metadata(address)
        body = form.request(self._form_of(metadata, None), await fields(request))
        flat = {tensor["name"]: tensor["data"][0] for tensor in body["inputs"]}
        pieces = self._sources.gateway.stream(address, flat)

        async def told() -> AsyncIterator[bytes]:
            try:
                async for piece in pieces:
                    yield piece
            except SourceError as error:
                yield f"data: {json.dumps({'error': str(error)})}\n\n".encode()

        return StreamingResponse(told(), headers=_EVENTS)

    async def act(self, request: Request) -> Response:
        """Change a model."""
        name, action = request.path_params["name"], request.path_params["action"]
        given = await self._rights.order(request, action)
        done = await actions.act(self._sources, self._settings, name, action, given)
        back = (f"/models/{quote(name, safe='')}", name)
        return self._render(request, "done.html", done=done, back=back, here="models")

    async def bound(self, request: Request) -> Response:
        """Change how many replicas there may be."""
        given = await self._rights.order(request, "bounds")
        done = await actions.bound(self._sources, request.path_params["name"], given)
        back = ("/scaling", "Scaling")
        return self._render(request, "done.html", done=done, back=back, here="scaling")

    async def rollouts(self, request: Request) -> Response:
        """The last rollout of each model."""
        page = await rollout.every(self._sources)
        return self._render(request, "rollouts.html", page=page, here="rollouts")

    async def rollout(self, request: Request) -> Response:
        """One model's rollout."""
        name = request.path_params["name"]
        page = await rollout.page(self._sources, name)
        if page is None:
            raise HTTPException(404, f"{name} had no rollout.")
        known = actions.lines(name, self._settings.command)
        refused = await self._rights.refusals(*actions.ORDERS)
        return self._render(
            request, "rollout.html", page=page, lines=known, refused=refused, here="rollouts"
        )

    async def scaling(self, request: Request) -> Response:
        """ScaledObjects."""
        page = await scaling.page(self._sources, _minutes(request, model.PERIODS))
        return self._render(
            request,
            "scaling.html",
            page=page,
            periods=model.PERIODS,
            refused=await self._rights.refusals("bounds"),
            bound_line=actions.bound_line,
            here="scaling",
        )

    async def alerts(self, request: Request) -> Response:
        """What fires."""
        page = await alerts.firing(self._sources)
        return self._render(
            request, "alerts.html", page=page, runbooks=alerts.known(), here="alerts"
        )

    async def runbook(self, request: Request) -> Response:
        """What to do."""
        name = request.path_params["name"]
        text = await alerts.runbook(name)
        if text is None:
            raise HTTPException(404, f"There is no runbook {name}.")
        return self._render(request, "runbook.html", name=name, text=text, here="alerts")

    async def registry(self, request: Request) -> Response:
        """Published versions."""
        first = request.query_params.get("first", "0")
        page = await versions.page(
            self._sources,
            request.query_params.get("model", ""),
            int(first) if first.isascii() and first.isdecimal() and len(first) < 7 else 0,
        )
        return self._render(request, "registry.html", page=page, here="registry")

    async def diff(self, request: Request) -> Response:
        """How two versions differ."""
        asked = [request.query_params.get(key, "") for key in ("model", "version", "other")]
        page = await versions.difference(self._sources, *asked)
        line = shlex.join([self._settings.command, "models", "diff", page.model, *page.names])
        return self._render(request, "diff.html", page=page, line=line, here="registry")

    async def verify(self, request: Request) -> Response:
        """Hash a version again; it only reads, so whoever may look may ask for it."""
        given = {key: str(value) for key, value in (await fields(request)).items()}
        model, version = given.get("model", ""), given.get("version", "")
        damage = await self._sources.registry.damage(model, version)
        line = shlex.join([self._settings.command, "models", "verify", model, version])
        return self._render(
            request,
            "verified.html",
            model=model,
            version=version,
            damage=damage,
            line=line,
            here="registry",
        )

    async def events(self, request: Request) -> Response:
        """That something changed."""
        if self._live.is_full:
            raise HTTPException(503, "Too many pages are open.")
        return StreamingResponse(self._live.stream(), headers=_EVENTS)

    async def _service(self, name: str) -> Object:
        document = await self._sources.cluster.get("inferenceservices", name)
        if document is None:
            raise HTTPException(404, f"There is no model {name}.")
        return document

    async def _form(self, name: str) -> Form:
        document = await self._service(name)
        metadata = await self._sources.gateway.metadata(Address.of(document))
        return self._form_of(metadata, await self._sample(document))

    def _form_of(self, metadata: Mapping[str, Any], sample: Mapping[str, Any] | None) -> Form:
        try:
            return form.form(metadata, sample)
        except MALFORMED:
            try:
                return form.form(metadata, None)
            except MALFORMED as error:
                raise SourceError("The model's metadata is not of V2's form.") from error

    async def _sample(self, document: Object) -> Mapping[str, Any] | None:
        """The golden sample of what is served: a request that is known to be good."""
        published = await answered(self._sources.registry.versions(), [])
        try:
            uri = str(document["spec"]["predictor"]["model"]["storageUri"])
        except MALFORMED:
            return None
        for version in published.value:
            if uri.endswith(f"/{version.model}/{version.version}"):
                sample = version.manifest.get("golden_sample")
                return sample if isinstance(sample, dict) else None
        return None

    async def _failed(self, request: Request, error: Exception) -> Response:
        status, sentence = 500, "This page failed; the console's log says where."
        if isinstance(error, HTTPException):
            status, sentence = error.status_code, error.detail
        elif isinstance(error, SourceError):
            status, sentence = error.status, str(error)
        # A page that could not be read is drawn as soon as it can be.
        heals = isinstance(error, SourceError) and request.method == "GET"
        return self._render(
            request,
            "failed.html",
            status=status,
            sentence=sentence,
            code=status,
            heals=heals,
            here="",
        )


def _minutes(request: Request, periods: tuple[int, ...]) -> int:
    asked = request.query_params.get("minutes", "")
    return next((period for period in periods if str(period) == asked), periods[0])
