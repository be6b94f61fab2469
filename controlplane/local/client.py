"""What the verbs ask of the platform: start it, tell it what is wanted, read what is, stop it.

Verbs and supervisor share the state folder and a signal, nothing else.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane import settings, statefolder
from controlplane.errors import AlreadyRunning, NotRunning, SerinError, UnknownModel
from controlplane.local import manifests, published
from controlplane.statefolder import ROOT, Home
from controlplane.store.channels import is_versioned

START_SECONDS = 240.0
"""An idle machine takes one or two; with thirty programs for two cores, a minute."""
BUSY_SECONDS = 15.0
"""After so long a start is explained."""
STOP_SECONDS = 40.0
KILL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Platform:
    """A running platform, and whether this process started it."""

    home: Home
    started_here: bool
    generation: int
    added: tuple[str, ...] = ()
    """Models that nobody asked for before."""


def models() -> list[str]:
    """Every model that has an InferenceService."""
    return manifests.models(published.known(statefolder.home()))


def check(names: Iterable[str], others: Iterable[str] = ()) -> None:
    """Refuse models that neither a manifest nor `others` know.

    Raises:
        UnknownModel: Names the first unknown one and those there are.
    """
    known = [*models(), *others]
    for name in names:
        if name not in known:
            raise UnknownModel(name, known)


def applied(home: Home) -> list[str]:
    """InferenceServices that a person applied, or that run: no manifest here needs to know them."""
    kept = statefolder.read_json(home.objects).get("objects") or ()
    return [
        *statefolder.read_json(home.state).get("models", {}),
        *(one["metadata"]["name"] for one in kept if one.get("kind") == "InferenceService"),
    ]


def unserved(name: str, served: Iterable[str]) -> SerinError:
    """Why a model that runs nowhere here cannot be asked: it was not started, or there is none."""
    if name in models():
        return SerinError(f"{name} does not run here. Start it with: ./serin up {name}")
    return UnknownModel(name, [*models(), *served])


def up(
    names: list[str], replicas: int | None, port: int | None, *, newest: bool = False
) -> Platform:
    """Ask for models, starting the platform if it does not run.

    Models that are not named stay as they are. `replicas` None keeps a running model's number;
    without `newest`, what was served before is served again.

    Raises:
        SerinError: The platform cannot start; the sentence says why.
    """
    settings.check()
    if port is None and settings.GATEWAY_PORT in os.environ:
        port = settings.port(settings.GATEWAY_PORT, settings.DEFAULT_PORT)
    home = statefolder.home()
    home.prepare()
    with statefolder.exclusive(home):
        before = statefolder.running(home) is not None
        if before:
            _same_port(home, port)
        there = applied(home)
        generation = ask(home, names, replicas, fresh=not before, newest=newest)
        if not before:
            _spawn(home, settings.DEFAULT_PORT if port is None else port)
        else:
            nudge(home)
    return Platform(home, not before, generation, tuple(set(names).difference(there)))


def ask(
    home: Home,
    names: Iterable[str],
    replicas: int | None,
    *,
    fresh: bool = False,
    newest: bool = False,
) -> int:
    """Write what is wanted and return its generation; `fresh` forgets what was wanted before."""
    desired = {} if fresh else statefolder.read_json(home.desired)
    generation = int(desired.get("generation", 0)) + 1
    wanted = dict(desired.get("models", {}))
    for name in names:
        kept = wanted.get(name, {}).get("replicas")
        wanted[name] = {
            "replicas": kept if replicas is None else replicas,
            "generation": generation,
            "newest": newest,
        }
    statefolder.write_json(home.desired, {"generation": generation, "models": wanted})
    return generation


def newer(now: dict[str, Any], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Models of which a version was published that nobody has chosen yet, with that version.

    Args:
        now: What runs, as `status` says it.
        names: The models to look at.
    """
    from controlplane.store import artifacts, s3

    known = s3.external() or s3.of_platform(statefolder.home())
    for service in published.known(statefolder.home()):
        name = service["metadata"]["name"]
        if known is None or service["kind"] != "InferenceService" or name not in names:
            continue
        uri = service["spec"]["predictor"]["model"]["storageUri"]
        version = None if is_versioned(uri) else artifacts.newest(known, uri)
        serving = now["models"][name]["version"]
        if version and version != serving and "@" not in serving:  # a channel moves by itself
            yield name, version


def nudge(home: Home) -> None:
    """Have the supervisor look at what is wanted now."""
    if pid := statefolder.running(home):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)


def again(home: Home, name: str) -> int:
    """Have the supervisor look for a model's newest version: one was just published."""
    with statefolder.exclusive(home):
        generation = ask(home, [name], None)
    nudge(home)
    return generation


def status(home: Home) -> dict[str, Any] | None:
    """What runs, as state.json says it; None where nothing runs.

    Raises:
        SerinError: The supervisor was killed and left its state behind.
    """
    if statefolder.running(home) is not None:
        return statefolder.read_json(home.state)
    if home.state.exists():
        raise SerinError(
            f"Serin was killed and nothing runs now (its last state is in {home.state}): start it "
            "again with ./serin up."
        )
    return None


def running(home: Home) -> dict[str, Any]:
    """What runs, as `status` tells.

    Raises:
        NotRunning: Nothing does.
    """
    now = status(home)
    if now is None:
        raise NotRunning
    return now


def down(home: Home) -> bool:
    """Stop everything and wait for its end; False where nothing ran.

    Raises:
        SerinError: It did not end in time and was killed, or could not be.
    """
    # What another verb starts in this moment holds no lock yet, and must not outlive this.
    deadline = time.monotonic() + START_SECONDS
    while (
        statefolder.running(home) is None
        and statefolder.is_starting(home)
        and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    if statefolder.running(home) is None:
        left = statefolder.read_json(home.state).get("processes", ())
        _clean(home, left)
        return bool(left)
    deadline = time.monotonic() + STOP_SECONDS
    while (pid := statefolder.running(home)) is not None and time.monotonic() < deadline:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        # Then ask again: a signal may meet a process half started.
        _await_end(home, min(deadline, time.monotonic() + 5))
    if pid is None:
        return True
    _kill(home, pid)
    raise SerinError(f"Serin did not stop in {STOP_SECONDS:.0f} s and was killed.")


def _await_end(home: Home, until: float) -> None:
    while statefolder.running(home) is not None and time.monotonic() < until:
        time.sleep(0.05)


def _kill(home: Home, pid: int) -> None:
    """End a supervisor that does not end by itself, with all that it started.

    Raises:
        SerinError: Somebody still holds the lock.
    """
    from controlplane.local.node import processes

    left = statefolder.read_json(home.state).get("processes", ())
    if "controlplane.local" in processes.command_line(pid):
        processes.kill_tree(pid)
        _await_end(home, time.monotonic() + KILL_SECONDS)
    if (holder := statefolder.running(home)) is not None:
        raise SerinError(
            f"Serin did not stop in {STOP_SECONDS:.0f} s, and process {holder}, which holds "
            f"{home.lock}, could not be ended from here: end it, then run ./serin down again."
        )
    _clean(home, left)


def _clean(home: Home, pids: Iterable[int]) -> None:
    """End what a killed supervisor left (Linux ends it by itself) and remove its state."""
    import shutil

    from controlplane.local.node import processes
    from controlplane.store import artifacts

    processes.sweep(pids, str(home.path))
    for path in (home.state, home.desired):
        path.unlink(missing_ok=True)
    shutil.rmtree(home.envoy, ignore_errors=True)
    if home.models.exists():
        artifacts.clean(home.models)


def _same_port(home: Home, port: int | None) -> None:
    now = statefolder.read_json(home.state).get("gateway_port")
    if port and now and port != now:
        raise SerinError(
            f"Serin already runs on port {now}: to move it, ./serin down, then ./serin up "
            f"--port {port}."
        )


def _spawn(home: Home, port: int) -> None:
    """Start the supervisor in a session of its own and wait for its word."""
    from controlplane.local.node import processes

    read, write = os.pipe()
    log = home.logs / "supervisor.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "controlplane.local"),
                *(f"--port={port}", f"--notify={write}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "SERIN_HOME": str(home.path)},
            pass_fds=[write],
            start_new_session=True,
        )
    os.close(write)
    try:
        word = _word(read, process, log)
    except BaseException:  # Ctrl-C too: what this call started, it ends
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        if process.poll() is None:
            processes.kill_tree(process.pid)
        process.wait()
        if statefolder.running(home) is None:
            _clean(home, ())
        raise
    finally:
        os.close(read)
    if word != "ok":
        process.wait(STOP_SECONDS)
        if statefolder.running(home) is None:
            _clean(home, ())
        raise SerinError(word)


def _word(read: int, process: subprocess.Popen[bytes], log: Path) -> str:
    ready, _, _ = select.select([read], [], [], BUSY_SECONDS)
    if not ready:
        sys.stderr.write("Still starting: this machine is busy. Ctrl-C ends it.\n")
        ready, _, _ = select.select([read], [], [], START_SECONDS - BUSY_SECONDS)
    if not ready:
        raise SerinError(f"Waited {START_SECONDS:.0f} s for Serin to start; see {log}.")
    text = os.read(read, 4096).decode().strip()
    if not text:  # the pipe closed without a word
        process.wait(START_SECONDS)
        raise SerinError(f"Serin ended while starting; see {log}.")
    return text


__all__ = ["AlreadyRunning", "Platform", "again", "check", "down", "models", "status", "up"]
