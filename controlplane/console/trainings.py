"""Pages of trainings: Jobs, a form made from a script's own flags, two runs beside each other."""

import contextlib
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from controlplane import trainingjobs
from controlplane.console.actions import Done
from controlplane.console.pages import training
from controlplane.console.render import Renderer
from controlplane.console.rights import Rights
from controlplane.console.runs import FLAGS, LONGEST_FLAG, RefusedError, Runs, named
from controlplane.console.settings import Settings
from controlplane.console.sources import scripts
from controlplane.console.sources.answer import SourceError, answered
from controlplane.console.sources.bundle import Sources
from controlplane.console.sources.cluster import Object
from controlplane.console.sources.scripts import Flag
from controlplane.errors import SerinError

FIELD = "flag."
"""Begins the name of a flag's input; another input could have a flag's name otherwise."""


def arguments(flags: Iterable[Flag], given: Mapping[str, str]) -> list[str]:
    """The script's arguments of a filled form; what was left empty is not given.

    Raises:
        SourceError: The script has no such flag.
    """
    flags, found = list(flags), []
    others = {key.removeprefix(FIELD) for key in given if key.startswith(FIELD)}
    if others := others - {flag.name for flag in flags}:
        raise SourceError(f"The script has no flag {min(others)[:80]}.")
    for flag in flags:
        value = given.get(f"{FIELD}{flag.name}", "").strip()
        if value:
            found.append(f"--{flag.name}" if flag.alone else f"--{flag.name}={value}")
    if len(found) > FLAGS or any(len(argument) > LONGEST_FLAG for argument in found):
        raise SourceError(f"At most {FLAGS} flags of at most {LONGEST_FLAG} characters.")
    return found


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What is refused, as a page."""
    try:
        yield
    except RefusedError as error:
        raise HTTPException(error.status, str(error)) from error
    except SourceError:
        raise
    except SerinError as error:  # the store does not answer
        raise SourceError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Trainings:
    """The handlers below /training."""

    settings: Settings
    sources: Sources
    runs: Runs
    rights: Rights
    render: Renderer

    def routes(self) -> list[BaseRoute]:
        """For the console's application, behind its guard."""
        return [
            Route("/training", self.page),
            Route("/training/compare", self.compare),
            Route("/training/{name}", self.page),
            Route("/training/start/{model}", self.form),
            Route("/training/actions/start", self.start, methods=["POST"]),
            Route("/training/{name}/cancel", self.cancel, methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        """Jobs."""
        page = await training.page(self.sources, request.path_params.get("name", ""))
        return self.render(
            request,
            "training.html",
            page=page,
            trains=[] if self.settings.read_only else trainingjobs.models(),
            refused=await self.rights.refusals("train", "cancel"),
            here="training",
        )

    async def compare(self, request: Request) -> Response:
        """How two runs differ: what `serin runs compare` prints."""
        with _told():
            known = await self.runs.known()
        asked = [request.query_params.get(key, "") for key in ("run", "other")]
        page, line = None, ""
        if any(asked):
            with _told():
                pair = [named(known, name) for name in asked]
            page = training.compared(*pair)
            line = shlex.join([self.settings.command, "runs", "compare", *page.names])
        return self.render(
            request, "compare.html", page=page, known=known, line=line, here="training"
        )

    async def form(self, request: Request) -> Response:
        """What a script may be given, a field each."""
        job = self._job(request.path_params["model"])
        return await self._form(request, request.path_params["model"], job, {}, "")

    async def _form(
        self, request: Request, model: str, job: Object, given: Mapping[str, str], problem: str
    ) -> Response:
        flags = await answered(scripts.flags(job), [])
        return self.render(
            request,
            "start.html",
            code=400 if problem else 200,
            model=model,
            flags=flags,
            field=FIELD,
            given=given,
            problem=problem,
            refused=await self.rights.refusals("train"),
            here="training",
        )

    async def start(self, request: Request) -> Response:
        """Start a training, unless its script refuses the flags."""
        given = await self.rights.order(request, "train")
        model = given.get("model", "")
        job = self._job(model)
        try:
            flags = arguments((await answered(scripts.flags(job), [])).value, given)
            if why := await scripts.refusal(job, flags):
                raise SourceError(why)
        except SourceError as error:
            return await self._form(request, model, job, given, str(error))
        with _told():
            run = await self.runs.begin(model, flags)
        settings = [part for flag in flags for part in ("--set", flag[2:])]
        line = shlex.join([self.settings.command, "train", model, "--job", *settings])
        done = Done(f"A training of {model} has begun.", line)
        back = (f"/training/{quote(run['job'], safe='')}", run["job"])
        return self.render(request, "done.html", done=done, back=back, here="training")

    async def cancel(self, request: Request) -> Response:
        """Cancel a training."""
        given = await self.rights.order(request, "cancel")
        with _told():
            run = await self.runs.end_job(request.path_params["name"], given.get("name", ""))
        line = shlex.join([self.settings.command, "runs", "cancel", run["run"]])
        done = Done(f"The training of {run['model']} is told to stop.", line)
        back = ("/training", "Training")
        return self.render(request, "done.html", done=done, back=back, here="training")

    def _job(self, model: str) -> Object:
        try:
            return trainingjobs.job_of(trainingjobs.documents(model), model)
        except SerinError as error:
            raise HTTPException(404, str(error)) from error
