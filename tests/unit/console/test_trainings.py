"""Pages of trainings: the form of a script's own flags, two runs, the loss, cancelling."""

import json
from html import unescape
from typing import Any

import pytest

from controlplane.console.pages import charts
from controlplane.console.runs import Runs
from controlplane.console.sources import scripts
from controlplane.errors import StoreError
from tests.support.console_world import IMAGE, World
from tests.unit.console.test_runs import job, world

START = "/training/actions/start"


def test_each_flag_has_its_field_with_default_and_help() -> None:
    """As the script tells them, but for the one that a Job has no use for."""
    text = world().get("/training/start/iris").text

    assert 'href="/training/start/iris"' in world().get("/training").text
    assert 'name="flag.seed"' in text
    assert 'placeholder="0"' in text
    assert "of every random choice (default: 0)" in text
    assert text.count('type="checkbox"') == 1
    assert text.count("<option") == 3
    assert "flag.output" not in text
    assert IMAGE not in text


def test_flags_that_the_script_refuses_start_nothing() -> None:
    """Its own words stand above the form, which keeps what was typed."""
    where = world()
    answer = where.ask("POST", START, {"model": "iris", "flag.seed": "x", "flag.bits": "32"})

    assert answer.status_code == 400
    assert f"--seed: no number: {IMAGE}" in unescape(answer.text)
    assert IMAGE not in answer.text
    assert 'value="x"' in answer.text
    assert "<option selected>32</option>" in answer.text
    assert where.objects["jobs"] == []


def test_a_flag_that_the_script_does_not_have_is_refused() -> None:
    """Another version of the page may have had it."""
    answer = world().ask("POST", START, {"model": "iris", "flag.trees": "5"})

    assert answer.status_code == 400
    assert "has no flag trees" in answer.text


def test_a_script_that_does_not_tell_its_flags_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """And can be started as it is."""

    async def outline(*_: Any) -> tuple[int, str, str]:
        return 1, "", "Traceback\nImportError: no torch"

    monkeypatch.setattr(scripts, "_outline", outline)
    where = world()

    assert (
        "does not tell its flags: ImportError: no torch" in where.get("/training/start/iris").text
    )
    assert where.ask("POST", START, {"model": "iris"}).status_code == 200


def test_a_console_that_only_looks_offers_no_start() -> None:
    """Nor a way to its form."""
    assert "/training/start" not in world(read_only=True).get("/training").text
    assert "<button" not in world(read_only=True).get("/training/start/iris").text


def test_the_newest_run_stands_beside_the_one_before_it_of_its_model() -> None:
    """Whatever trained between them."""
    jobs = [job("Complete") for _ in range(3)]
    for place, (made, model) in enumerate(zip(jobs, ("iris", "nli", "iris"), strict=True)):
        made["metadata"] |= {"uid": f"aaaa000{place}", "labels": {"app.kubernetes.io/name": model}}
        made["status"]["startTime"] = f"2026-01-01T00:00:0{place}Z"
    text = world(*jobs).get("/training/compare").text

    assert text.index('"aaaa0000" selected') < text.index('"aaaa0002" selected')
    assert text.count(" selected") == 2


def test_two_runs_are_compared() -> None:
    """By what `serin runs compare` says, as text."""
    other = job("Complete")
    other["metadata"] |= {"uid": "aaaa1111-0", "name": "other"}
    other["spec"]["template"]["spec"]["containers"][0]["args"] = ["--seed=8", IMAGE]
    where = world(job(), other)
    text = where.get("/training/compare?run=f78b&other=aaaa").text

    assert 'href="/training/compare"' in where.get("/training").text
    assert "--seed=7" in text
    assert f"--seed=8 {IMAGE}" in unescape(text)
    assert IMAGE not in text
    assert "./serin runs compare f78b7fe6 aaaa1111" in text
    assert "They do not differ." in where.get("/training/compare?run=f78b&other=f78b").text


@pytest.mark.parametrize("query", ["?other=f78b", "?run=f78b", "?run=f78b&other=zz"])
def test_a_run_that_is_not_there_is_compared_with_nothing(query: str) -> None:
    """A page that says which one is missing."""
    where = world(job())
    answer = where.get(f"/training/compare{query}")

    assert "There are no two runs" in where.get("/training/compare").text
    assert answer.status_code == 404
    assert "There is no run" in answer.text


def test_runs_that_cannot_be_read_are_said_on_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the store's own words."""

    async def known(_: Runs) -> None:
        raise StoreError(f"The store is away {IMAGE}")

    monkeypatch.setattr(Runs, "known", known)
    answer = world().get("/training/compare")

    assert answer.status_code == 502
    assert f"The store is away {IMAGE}" in unescape(answer.text)


def line(step: Any, loss: Any) -> str:
    """As training/progress.py writes it."""
    return json.dumps({"doing": "Learning", "step": step, "steps": 10, "loss": loss})


def test_the_loss_of_the_last_part_is_a_curve() -> None:
    """Lines of another form are left out."""
    first = [line(1, 9.0), line(2, 8.0)]
    last = [line(1, 4.0), "words", line(2, "x"), line(3, float("nan")), line(4, 2.0), line(5, 1.0)]
    curve = charts.loss("\n".join([*first, *last]))

    assert curve is not None
    assert (curve.steps, curve.values) == ((1, 4, 5), (4.0, 2.0, 1.0))
    assert curve.path.startswith("M0.0 17.1L450.0 ")
    assert curve.latest == "1 at step 5"


@pytest.mark.parametrize("log", ["", "words", line(1, 2.0), f"{line(3, 2.0)}\n{line(3, 1.0)}"])
def test_one_point_is_no_curve(log: str) -> None:
    """Nor is none."""
    assert charts.loss(log) is None


def test_a_training_that_says_its_loss_has_a_curve() -> None:
    """Beside its log."""
    where = world(job())
    metadata = {"name": "train-iris-x", "labels": {"job-name": "train-iris"}}
    spec = {"containers": [{"name": "train"}]}
    where.objects["pods"] = [{"metadata": metadata, "spec": spec, "status": {}}]
    where.log = f"{line(1, 4.0)}\n{line(2, 2.0)}"

    assert "Loss by step, 2 at step 2" in where.get("/training").text
    assert "Loss by step" not in World(objects={"jobs": [job()]}).get("/training").text


def test_a_form_starts_a_training_and_shows_its_line() -> None:
    """Of flags, those that were given; a switch without a value."""
    where = world()
    sent = {"model": "iris", "flag.seed": " 8 ", "flag.smoke": "on", "flag.bits": ""}
    answer = where.ask("POST", "/training/actions/start", sent)
    (made,) = where.objects["jobs"]

    assert answer.status_code == 200
    assert made["spec"]["template"]["spec"]["containers"][0]["args"] == ["--seed=8", "--smoke"]
    assert "./serin train iris --job --set seed=8 --set smoke" in answer.text


@pytest.mark.parametrize("model", ["", "nobody", "../iris", IMAGE])
def test_a_form_of_another_model_is_refused(model: str) -> None:
    """On a page, as text."""
    where = world()
    answer = where.ask("POST", "/training/actions/start", {"model": model})

    assert answer.status_code == 404
    assert "has no Job" in answer.text
    assert IMAGE not in answer.text


def test_a_form_cancels_a_run_for_whoever_types_its_model() -> None:
    """And nobody else, nor where the console only looks."""
    where = world(job())
    path = "/training/train-iris/cancel"
    assert 'action="/training/train-iris/cancel"' in where.get("/training").text
    assert where.ask("POST", path, {"name": "iri"}).status_code == 409
    assert where.ask("POST", "/training/none/cancel", {"name": "iris"}).status_code == 404
    looking = world(job(), read_only=True)
    assert looking.ask("POST", path, {"name": "iris"}).status_code == 403
    assert "/cancel" not in looking.get("/training").text
    answer = where.ask("POST", path, {"name": "iris"})

    assert answer.status_code == 200
    assert "./serin runs cancel f78b7fe6" in answer.text
