"""One `serin bench`: prepares, measures, refuses what is no result, tells and writes the rest."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from scripts.benchmark import peer
from scripts.benchmark.artifacts import artifact_of
from scripts.benchmark.before import commit_of, serin_at
from scripts.benchmark.errors import BenchmarkError
from scripts.benchmark.measure import Measured, Settings, Subject, measure
from scripts.benchmark.overload import SETTINGS, Overload, overload
from scripts.benchmark.peer import BEFORE, SERIN, STOCK
from scripts.benchmark.repository import ROOT, home
from scripts.benchmark.result.chart import chart
from scripts.benchmark.result.provenance import provenance
from scripts.benchmark.result.report import Report
from scripts.benchmark.result.summary import footprints, rows
from scripts.benchmark.serving import environments, machine
from scripts.benchmark.serving.server import serving
from scripts.benchmark.soak import soak
from scripts.benchmark.traffic import load
from scripts.benchmark.traffic.question import Question

Peers = Mapping[str, tuple[peer.Peer, Path]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked on the command line."""

    models: tuple[str, ...]
    peers: tuple[str, ...]
    before: str | None
    connections: tuple[int, ...]
    seconds: int
    warm_up_seconds: int
    rounds: int
    overload: bool
    data: Path | None
    artifacts: Path | None
    output: Path


def run(wanted: Wanted) -> None:
    """Run a benchmark whole.

    Raises:
        BenchmarkError: it could not be run, or it had an error and is no result.
    """
    chosen = peer.peers(wanted.peers)
    commit = commit_of(wanted.before) if wanted.before else ""
    if commit and SERIN not in chosen:
        raise click.UsageError("--before compares serin: --peers leaves it out")
    load.require(["wrk", "h2load"])
    load_at_start = machine.load_average()  # before our own preparations
    folder = home()
    folder.mkdir(parents=True, exist_ok=True)
    if commit:
        chosen[BEFORE] = serin_at(commit, folder)
    ready = _installed(chosen, folder)
    subjects = [_subject(model, wanted, folder) for model in wanted.models]
    cores = machine.Cores.choose()
    _say_where(cores, load_at_start)
    settings = Settings(
        seconds=wanted.seconds,
        warm_up_seconds=wanted.warm_up_seconds,
        rounds=wanted.rounds,
        connections=wanted.connections,
        home=folder,
    )
    overloads: list[Overload] = []
    with cores.of_load():
        others = machine.OthersShare(cores)
        measured = measure(settings, subjects, ready, cores, _progress)
        if wanted.overload and SERIN in ready:
            overloads = _overloads(settings, subjects, ready[SERIN], cores, measured)
        others_share = others.measure()
    report = Report(
        provenance={
            **_provenance(ready),
            "pinned": cores.pinned,
            **({"before": commit} if commit else {}),
            "noise": {"load_average_at_start": load_at_start, "others_share": others_share},
        },
        settings=settings,
        subjects=subjects,
        peers={name: one for name, (one, _) in ready.items()},
        rows=rows(measured.points),
        footprints=footprints(measured.processes),
        overloads=overloads,
    )
    for table in report.tables():
        Console().print(table)
        click.echo()
    refuse(measured)
    if others_share is not None and others_share > machine.QUIET_SHARE:
        _warn(f"other programs took {others_share:.0%} of the two cores while this ran")
    _write(report, wanted.output)


def soak_only(wanted: Wanted, minutes: int) -> None:
    """Soak Serin and write <date>-soak.json.

    Raises:
        BenchmarkError: a request was not answered.
    """
    load.require(["h2load"])
    folder = home()
    folder.mkdir(parents=True, exist_ok=True)
    ready = _installed(peer.peers((SERIN,)), folder)
    cores = machine.Cores.choose()
    _say_where(cores, machine.load_average())
    soaks = []
    for model in wanted.models:
        one = _subject(model, wanted, folder)
        with (
            cores.of_load(),
            serving(SERIN, *ready[SERIN], model, one.artifact, folder, cores) as server,
        ):
            soaks.append(soak(server, one, minutes, folder, _progress).document())
    document = {**_provenance(ready), "soaks": soaks}
    result = wanted.output / f"{document['date']}-soak.json"
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    click.echo(f"Written: {result}")


def refuse(measured: Measured) -> None:
    """A run with any error is not a result.

    Raises:
        BenchmarkError: there was one; tells all of them.
    """
    if measured.failures:
        listed = "\n".join(f"  {failure}" for failure in measured.failures)
        raise BenchmarkError(
            f"not a result, nothing written: {len(measured.failures)} failed\n{listed}"
        )


def _installed(chosen: Mapping[str, peer.Peer], folder: Path) -> Peers:
    ready = {}
    for name, one in chosen.items():
        python = environments.python_of(name, one, folder)
        if python is None:
            newest = ".".join(map(str, one.newest_python))
            _warn(f"{name} is left out: it needs Python {newest} or older, and none is on PATH")
        else:
            ready[name] = (one, python)
    return ready


def _subject(model: str, wanted: Wanted, folder: Path) -> Subject:
    module = ROOT / "predictors" / f"{model.replace('-', '_')}.py"
    if not module.exists():
        raise click.UsageError(f"no model {model}: there is no {module.relative_to(ROOT)}")
    artifact = artifact_of(model, folder, wanted.artifacts, wanted.data)
    return Subject(Question.read(model, artifact), artifact)


def _overloads(
    settings: Settings,
    subjects: list[Subject],
    serin: tuple[peer.Peer, Path],
    cores: machine.Cores,
    measured: Measured,
) -> list[Overload]:
    found = []
    for one in subjects:
        _progress(f"{one.model}, overload")
        try:
            with serving(
                SERIN, *serin, one.model, one.artifact, settings.home, cores, SETTINGS
            ) as server:
                found.append(overload(server, one, settings.seconds, settings.home))
        except BenchmarkError as error:
            measured.failures.append(f"{one.model}, overload: {error.message}")
    return found


def _provenance(ready: Peers) -> dict[str, Any]:
    return {
        **provenance("./serin", "bench", arguments=sys.argv[2:]),
        "versions": {name: environments.versions(python) for name, (_, python) in ready.items()},
    }


def _say_where(cores: machine.Cores, load_average: float) -> None:
    if cores.pinned:
        click.echo(f"Servers run on core {cores.server}, the load on core {cores.load}.", err=True)
    else:
        _warn("servers and load share the cores: one core only, or a system that pins no process")
    if load_average > machine.QUIET_LOAD:
        _warn(f"the load average is {load_average}: other programs disturb what is measured")


def _progress(what: str) -> None:
    click.echo(f"  {datetime.now(UTC):%H:%M:%S} {what}", err=True)


def _warn(sentence: str) -> None:
    click.echo(f"Warning: {sentence}.", err=True)


def _write(report: Report, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kind = "-before" if BEFORE in report.peers else ""
    written = [folder / f"{report.provenance['date']}{kind}.json"]
    written[0].write_text(json.dumps(report.document(), indent=1, ensure_ascii=False) + "\n")
    if STOCK in report.peers:  # the picture's ratios are to it
        written.append(written[0].with_suffix(".svg"))
        written[1].write_text(chart(report))
    click.echo(f"Written: {', '.join(map(str, written))}")
