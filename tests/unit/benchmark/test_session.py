import json
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from scripts.benchmark import measure, session
from scripts.benchmark.errors import BenchmarkError, LoadError, NoAnswerError
from scripts.benchmark.measure import Measured, Settings, Subject
from scripts.benchmark.peer import BEFORE, PEERS, Peer, peers
from scripts.benchmark.result.report import Report
from scripts.benchmark.result.summary import footprints, rows
from scripts.benchmark.serving.machine import Cores
from scripts.benchmark.traffic import h2load, wrk
from scripts.benchmark.traffic import load as generators
from scripts.benchmark.traffic.load import Load
from scripts.benchmark.traffic.question import Question
from scripts.verbs.develop import bench

GOOD = Load(4000, 2.0, 1.0, 3.0)


class FakeServer:
    """Answers with one size, unless told to fail."""

    def __init__(self, peer: Peer, broken: bool) -> None:
        self.peer = peer
        self._broken = broken

    def port(self, transport: str) -> int:
        return 1

    def wait(self, transport: str, question: Question) -> float:
        if self._broken:
            raise NoAnswerError("is not ready")
        return 1.5

    def ask(self, transport: str, question: Question) -> int:
        return 10

    def memory_bytes(self) -> int:
        return 2**20


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    tensor = {"name": "input-0", "datatype": "FP32", "shape": [1, 1], "data": [1.0]}
    (tmp_path / "model.joblib").touch()
    return Subject(Question("iris", "0123456789ab", tensor, [0.5, 0.5]), tmp_path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(2, 0, rounds=2, connections=(1, 64), home=tmp_path)


def measured(
    settings: Settings,
    subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
    loads: dict[str, Load | LoadError] | None = None,
    broken: str = "",
    chosen: dict[str, Peer] | None = None,
) -> Measured:
    """A run over all real peers, or those chosen, with servers and generators that only claim."""

    @contextmanager
    def serving(name: str, peer: Peer, *rest: Any) -> Any:
        current.append(name)
        yield FakeServer(peer, broken=name == broken)

    def load(*arguments: Any) -> Load:
        claimed = (loads or {}).get(current[-1], GOOD)
        if isinstance(claimed, LoadError):
            raise claimed
        return claimed

    current: list[str] = []
    monkeypatch.setattr(measure, "serving", serving)
    monkeypatch.setattr(wrk, "run", load)
    monkeypatch.setattr(h2load, "run", load)
    ready = {name: (one, Path("python")) for name, one in (chosen or peers()).items()}
    return measure.measure(settings, [subject], ready, Cores(None, None), lambda what: None)


def test_a_peer_is_left_out_where_it_cannot_load_the_model(
    settings: Settings, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLServer has no runtime for PyTorch; stock KServe and Serin are compared without it."""
    (subject.artifact / "model.joblib").rename(subject.artifact / "model.pt2")
    made = measured(settings, subject, monkeypatch)

    assert {process.peer for process in made.processes} == {"serin", "kserve", "echo"}
    assert made.failures == []


def test_every_peer_is_measured_in_every_round(
    settings: Settings, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each transport at each number of connections; rounds go there and back."""
    run = measured(settings, subject, monkeypatch)
    order = [one.peer for one in run.processes]

    assert run.failures == []
    assert order == [*peers(), *reversed(peers())]
    for name, peer in peers().items():
        assert sum(one.peer == name for one in run.points) == 2 * 2 * len(peer.transports)


@pytest.mark.parametrize(
    ("loads", "broken", "reason"),
    [
        (
            {"serin": Load(4000, 2.0, 1.0, 3.0, {"status": 7})},
            "",
            "serin grpc, 64 conn.*: 7 status",
        ),
        ({"kserve": Load(4000, 2.0, 1.0, 3.0, {"answer bytes": 1})}, "", "kserve.*1 answer bytes"),
        ({"echo": Load(0, 2.0, 0.0, 0.0)}, "", "echo rest-json, 1 connections: no answer"),
        ({"mlserver": LoadError("h2load gave no figures")}, "", "mlserver: h2load gave no figures"),
        ({}, "kserve", "iris, round 2 of 2, kserve: is not ready"),
    ],
)
def test_a_run_with_any_error_is_refused(
    settings: Settings,
    subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
    loads: dict[str, Load | LoadError],
    broken: str,
    reason: str,
) -> None:
    """Whichever peer it was, and one is enough; the others are measured all the same."""
    run = measured(settings, subject, monkeypatch, loads, broken)

    with pytest.raises(BenchmarkError, match=reason) as caught:
        session.refuse(run)
    assert "nothing written" in caught.value.message
    assert caught.value.exit_code == 1
    assert {one.peer for one in run.points} >= set(peers()) - {*loads, broken}


def test_a_run_without_errors_is_a_result(
    settings: Settings, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same check lets it pass."""
    session.refuse(measured(settings, subject, monkeypatch))


def test_a_failed_run_writes_nothing(
    settings: Settings, subject: Subject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command ends with 1 and tells why, after the table."""
    run = Measured(failures=["iris, round 1 of 2, serin: is not ready"])
    monkeypatch.setattr(session, "measure", lambda *arguments: run)
    monkeypatch.setattr(session, "artifact_of", lambda *arguments: tmp_path)
    monkeypatch.setattr(Question, "read", lambda *arguments: subject.question)
    monkeypatch.setattr(generators, "require", lambda programs: None)
    monkeypatch.setattr(session, "home", lambda: tmp_path / "home")
    asked = ["--peers", "serin", "--models", "iris", "--output", str(tmp_path / "out")]

    ended = CliRunner().invoke(bench.command, asked)

    assert ended.exit_code == 1, ended.output
    assert "serin: is not ready" in ended.output
    assert not (tmp_path / "out").exists()


def test_a_report_is_a_table_a_document_and_a_picture(
    settings: Settings, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All three tell the same of every peer; the table fits 80 columns, the picture is XML."""
    from scripts.benchmark.result.chart import chart

    run = measured(settings, subject, monkeypatch)
    provenance = {"date": "2026-11-21", "machine": {"cores": 2, "cpu": "A & B <C>"}}
    report = Report(
        provenance, settings, [subject], peers(), rows(run.points), footprints(run.processes)
    )
    console = Console(width=80, record=True, quiet=False)
    with console.capture() as captured:
        for table in report.tables():
            console.print(table)
    text = captured.get()
    loads = json.loads(json.dumps(report.document()))["models"]["iris"]["loads"]
    bars = ET.fromstring(chart(report)).findall("{http://www.w3.org/2000/svg}rect")  # noqa: S314 - we wrote it

    assert all(peer.title in text for peer in peers().values())
    assert "…" not in text
    assert len(loads) == len(report.rows)
    assert next(iter(loads))["requests_per_second"] == 2000
    assert len(bars) == 1 + len(report.rows) // 2


def test_an_earlier_commit_is_measured_in_turn_and_compared(
    settings: Settings, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each round has both, the second one backwards; table and file tell ratio and interval."""
    chosen = {**peers(["serin"]), BEFORE: replace(peers()["serin"], title="Serin at 0123456")}
    run = measured(
        settings, subject, monkeypatch, {"before": replace(GOOD, requests=5000)}, chosen=chosen
    )
    report = Report({}, settings, [subject], chosen, rows(run.points), footprints(run.processes))
    console = Console(width=80, record=True, quiet=False)
    with console.capture() as captured:
        for table in report.tables():
            console.print(table)
    (ratios,) = captured.get().split("Serin at 0123456, and Serin now")[1:]
    told = report.document()["models"]["iris"]["loads"]

    assert [one.peer for one in run.processes] == ["serin", "before", "before", "serin"]
    assert ratios.count("0.800 … 0.800") == 3 * 2
    assert "…" not in captured.get().replace(" … ", "")
    assert [(one["peer"], one["to_before"]) for one in told if "to_before" in one] == [
        ("serin", 0.8)
    ] * 6
    assert all(one["to_before_interval"] == [0.8, 0.8] for one in told if "to_before" in one)


@pytest.mark.parametrize(
    "asked",
    [
        ["--connections", "0"],
        ["--connections", "a"],
        ["--peers", "x"],
        ["--before", "no commit"],
        ["--before", "HEAD", "--peers", "echo"],
        ["--before", "HEAD", "--soak", "1"],
    ],
)
def test_a_wrong_option_is_told_before_anything_is_built(asked: list[str]) -> None:
    """Exit 2, as every verb."""
    assert CliRunner().invoke(bench.command, asked).exit_code == 2


def test_peers_are_found_by_their_files() -> None:
    """A module in peers/ is a peer, with the environment that a text file of its name pins."""
    assert {"echo", "kserve", "mlserver", "mlserver-batching", "serin"} <= set(peers())
    assert peers()["kserve"].pinned("kserve") == PEERS / "kserve.txt"
    assert peers()["mlserver-batching"].pinned("mlserver-batching") == PEERS / "mlserver.txt"
    assert peers()["serin"].pinned("serin") is None
    with pytest.raises(click.UsageError, match="no peer torch; there is"):
        peers(["torch"])
