"""`serve(ModelClass)`: flags, artifact, load, then REST, gRPC and metrics until SIGTERM."""

import argparse
import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

import uvicorn
import uvloop
from pydantic import ValidationError

from predictors.runtime.artifact.artifact import ArtifactError, Manifest, read_artifact
from predictors.runtime.channel.document import ChannelError
from predictors.runtime.dataplane.allocator import Trimmer
from predictors.runtime.dataplane.budget import Budget
from predictors.runtime.dataplane.class_counts import classes_of
from predictors.runtime.dataplane.coalescer import Coalescer
from predictors.runtime.dataplane.model import V2Model
from predictors.runtime.dataplane.service import Service
from predictors.runtime.grpc.call import MessageLimits
from predictors.runtime.grpc.methods import v2_methods
from predictors.runtime.grpc.server import GrpcServer
from predictors.runtime.lean_kserve import BaseKServeModel, ModelServer, server_flags
from predictors.runtime.observe import logs
from predictors.runtime.observe.metrics import ModelMetrics
from predictors.runtime.observe.telemetry import TelemetryError
from predictors.runtime.observe.together import Together
from predictors.runtime.process.artificial_load import slow_down
from predictors.runtime.process.engine import metrics_of, service_of
from predictors.runtime.process.engines import Engines, Make
from predictors.runtime.process.memory import held_limit, share_arena
from predictors.runtime.process.ports import listen, reserve
from predictors.runtime.process.settings import Settings
from predictors.runtime.process.workers import Workers
from predictors.runtime.rest.app import RestApp
from predictors.runtime.rest.protocol import direct_protocol, refresh_paths

_QUIET_SECONDS = 1.0  # a drain ends once this long passed without a request
_REST_SECONDS = 1.0  # after large requests, until the system is given what they took
_GRACE_SECONDS = 30  # for what is under way when a drain ends
_BACKLOG = 2048
logger = logging.getLogger("serin.server")


def serve(model_class: type[V2Model]) -> None:
    """Run a predictor process; exits 0 after SIGTERM, 1 where it cannot serve, saying why."""
    # Process 1 of a container gets no signal that it did not ask for: a pod deleted while its
    # model loads would be waited for until it is killed.
    signal.signal(signal.SIGTERM, _terminate)
    share_arena()
    try:
        settings = Settings()
    except ValidationError as error:
        logs.configure("INFO")
        logger.error("bad settings: %s", "; ".join(map(_setting_error, error.errors())))  # noqa: TRY400 - as below
        sys.exit(2)
    logs.configure(settings.log_level)
    flags = _flags(model_class)
    if flags.workers < 1:
        logger.error("--workers=%d: expected 1 or more", flags.workers)
        sys.exit(2)
    if flags.workers > 1 and settings.channel:
        logger.error("--workers=%d: one that follows a channel is one process", flags.workers)
        sys.exit(2)
    with _failure_told():
        manifest = read_artifact(flags.model_dir)
        if manifest.model != flags.model_name and not model_class.any_name:
            raise ArtifactError(
                f"{flags.model_dir} holds model '{manifest.model}', --model_name is "
                f"'{flags.model_name}'"
            )
        model_class = model_class.of_version(flags.model_dir, manifest)
        if flags.workers == 1:
            _serve(model_class, flags, settings, manifest)
        else:
            sys.exit(_serve_with_workers(model_class, flags, settings, manifest))


@contextlib.contextmanager
def _failure_told() -> Iterator[None]:
    """End with one sentence where the predictor cannot serve."""
    try:
        yield
    except (ArtifactError, ChannelError, OSError, TelemetryError) as error:
        logger.error("%s", error)  # noqa: TRY400 - the sentence is the whole story
        sys.exit(1)


def _serve(
    model_class: type[V2Model],
    flags: argparse.Namespace,
    settings: Settings,
    manifest: Manifest,
    metrics: ModelMetrics | None = None,
) -> None:
    """Load and serve in this process; with `metrics` it is one of several workers."""
    model = model_class(flags.model_name, flags.model_dir, manifest, settings.threads)
    model.load()
    if settings.artificial_cpu_seconds:
        slow_down(model, settings.artificial_cpu_seconds)
        logger.warning(
            "PREDICTOR_ARTIFICIAL_CPU_SECONDS=%g: every row is slowed down by that much, for "
            "demonstrations only",
            settings.artificial_cpu_seconds,
        )
    V2Server(model, settings, flags, metrics).start([model])


def _serve_with_workers(
    model_class: type[V2Model], flags: argparse.Namespace, settings: Settings, manifest: Manifest
) -> int:
    """Fork workers that share the ports; their exit code."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(reserve(settings.host, flags.http_port, "REST", "--http_port"))
        if flags.enable_grpc:
            stack.enter_context(reserve(settings.host, flags.grpc_port, "gRPC", "--grpc_port"))

        def worker(metrics: ModelMetrics) -> None:
            with _failure_told():
                _serve(model_class, flags, settings, manifest, metrics)

        facts = flags.model_name, manifest.version, manifest.engine
        made = Workers(
            flags.workers,
            worker,
            *facts,
            classes_of(model_class.outputs),
            leave_seconds=settings.drain_seconds + _GRACE_SECONDS,
        )
        return made.run(settings.host, settings.metrics_port)


class V2Server(ModelServer):
    """kserve's ModelServer with Serin's REST and gRPC in place of its own."""

    def __init__(
        self,
        model: V2Model,
        settings: Settings,
        flags: argparse.Namespace,
        metrics: ModelMetrics | None = None,
    ) -> None:
        super().__init__(
            http_port=flags.http_port,
            grpc_port=flags.grpc_port,
            enable_grpc=flags.enable_grpc,
            timeout_keep_alive=flags.timeout_keep_alive,
            enable_latency_logging=False,
        )
        self._settings = settings
        self._left = False
        self._is_worker = metrics is not None
        metrics = metrics or metrics_of(model)
        self._shown = Together(metrics)
        self._service = service_of(model, settings, metrics, alone=not self._is_worker)
        self._engines: Engines | None = None
        if settings.channel:
            self._engines = Engines(
                _maker(model, settings), self._switch, self._service, settings, self._shown
            )
        limit = settings.max_held_bytes or held_limit(flags.workers)
        budget = Budget(limit, Trimmer(_REST_SECONDS).ask)
        self._coalescer = Coalescer(self._service, settings.queue_size, budget)
        self._grpc = GrpcServer(
            v2_methods(self._coalescer, settings.max_batch_rows),
            MessageLimits(
                flags.grpc_max_receive_message_length,
                flags.grpc_max_send_message_length,
                budget,
            ),
            # More than may wait: what is past the queue is refused at once, and does not wait
            # unseen in its client.
            max_streams=2 * settings.queue_size + 100,
        )

    def start(self, models: list[BaseKServeModel]) -> None:
        """Register the loaded model and serve it until SIGTERM or SIGINT."""
        self._register_and_check_atleast_one_model_is_ready(models)
        settings, share = self._settings, self._is_worker
        rest = listen(settings.host, self.http_port, "REST", "--http_port", share=share)
        rpc = None
        if self.enable_grpc:
            rpc = listen(settings.host, self.grpc_port, "gRPC", "--grpc_port", share=share)
        if not self._is_worker:
            self._shown.serve(settings.host, settings.metrics_port)
        # What loading made lives as long as the process: without this, each full collection walks
        # it and holds every request for 60-100 ms.
        gc.collect()
        gc.freeze()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._run(rest, rpc))

    async def _run(self, rest: socket.socket, rpc: socket.socket | None) -> None:
        service, settings = self._service, self._settings
        most = settings.max_body_bytes
        self._app = RestApp(self._coalescer, max_rows=settings.max_batch_rows, max_body_bytes=most)
        self._protocol = direct_protocol(self._coalescer, most)
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            loop="none",
            http=self._protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=self.timeout_keep_alive,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            backlog=_BACKLOG,
        )
        server = _Uvicorn(config)
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stopping.set)
        loop.add_signal_handler(signal.SIGINT, self._leave_now, stopping)
        follower = None if self._engines is None else self._engines.follower()
        if rpc:
            await self._grpc.start(rpc)
        rest.listen(_BACKLOG)
        service.metrics.loaded(service.model.load_seconds)  # a worker counts once clients reach it
        serving = asyncio.create_task(server.serve([rest]))
        logger.info("serving", extra=self._facts())
        tasks = {serving, asyncio.create_task(stopping.wait())}
        following = None
        if follower is not None:
            self._coalescer.agenda = follower
            following = asyncio.create_task(follower.run())
            tasks.add(following)
        await asyncio.wait(tasks, return_when="FIRST_COMPLETED")
        if following is not None:  # whoever drains switches no more
            following.cancel()
            await asyncio.wait([following])
            self._coalescer.agenda = None
            if not following.cancelled():  # a new process follows again
                logger.error("following the channel failed", exc_info=following.exception())
        await self._drain()
        server.should_exit = True
        await asyncio.gather(serving, self._grpc.stop(_GRACE_SECONDS))
        name = self._service.model.name
        await asyncio.to_thread(self._service.close)
        if self._engines is not None:
            await asyncio.to_thread(self._engines.close)
        logger.info("stopped", extra={"model": name})

    def _switch(self, service: Service) -> None:
        """Give new requests to another engine; those that were admitted end on theirs."""
        self._service = self._coalescer.service = service
        self._app.refresh()
        refresh_paths(self._protocol)

    def _leave_now(self, stopping: asyncio.Event) -> None:
        """End without a drain: who sends SIGINT, before or after SIGTERM, knows of no proxy."""
        self._left = True
        stopping.set()

    async def _drain(self) -> None:
        """Be unready but serve on, until proxies have looked elsewhere."""
        self._service.draining = True
        logger.info("draining", extra={"model": self._service.model.name})
        started = time.perf_counter()
        while (now := time.perf_counter()) - started < self._settings.drain_seconds:
            if self._left or now - max(started, self._service.last_request) > _QUIET_SECONDS:
                return
            await asyncio.sleep(0.05)

    def _facts(self) -> dict[str, object]:
        model = self._service.model
        return {
            "model": model.name,
            "model_version": model.version,
            "engine": model.manifest.engine,
            "http_port": self.http_port,
            "grpc_port": self.grpc_port if self.enable_grpc else None,
            "metrics_port": self._settings.metrics_port,
            "load_seconds": round(model.load_seconds, 3),
            "inline_rows": self._service.batcher.inline_rows,
        }


def _maker(model: V2Model, settings: Settings) -> Make:
    """Makes models of other versions that are served as this one is."""
    model_class, name = type(model), model.name

    def make(folder: Path, manifest: Manifest) -> V2Model:
        return model_class(name, folder, manifest, settings.threads)

    return make


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers: `V2Server` decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    """Leave while there is nothing to drain yet; `V2Server` takes over once it serves."""
    sys.exit(128 + number)


def _flags(model_class: type[V2Model]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m {sys.modules['__main__'].__spec__.name}"
        if sys.modules["__main__"].__spec__
        else None,
        description=model_class.__doc__,
        parents=[server_flags],
    )
    parser.add_argument(
        "--model_dir",
        type=Path,
        default=Path("/mnt/models"),
        help="folder of the artifact: MANIFEST.json and the files it lists (default: %(default)s)",
    )
    return parser.parse_args()


def _setting_error(error: object) -> str:
    facts: dict[str, object] = dict(error)  # type: ignore[call-overload]  # a TypedDict
    return f"PREDICTOR_{str(facts['loc'][0]).upper()}: {facts['msg']}"  # type: ignore[index]  # same
