"""Actions: what each writes, what it asks for, and what it refuses."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from controlplane.rollout.effects.record import COMMAND, STATE
from controlplane.rollout.plan import Plan
from controlplane.rollout.steps.state import Phase, State
from tests.support.console_world import World, deployment, published, service

CANARY = {"name": "x", "trafficPercent": 10, "predictor": {"name": "canary"}}


def lease(*, held: bool = True, phase: Phase = Phase.JUDGING) -> dict[str, Any]:
    """A rollout of iris."""
    state = State(
        "id", "s3://models/iris/v1", "s3://models/iris/v2", "", Plan(), time.time(), phase
    )
    renewed = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "metadata": {
            "name": "rollout-iris",
            "resourceVersion": "3",
            "annotations": {STATE: json.dumps(state.as_json())},
        },
        "spec": {"holderIdentity": "engine" if held else "", "renewTime": renewed},
    }


def world(**objects: Any) -> World:
    """Iris with a canary, and two published versions."""
    return World(
        objects={
            "inferenceservices": [service("iris", "v1", canary=[CANARY])],
            "deployments": [deployment()],
            **objects,
        },
        versions=[published("iris", "v2"), published("iris", "v1"), published("nli", "v9")],
    )


def act(where: World, action: str, **given: str) -> tuple[int, str]:
    """Status and text of an action."""
    answer = where.ask("POST", f"/models/iris/actions/{action}", given or {"x": "y"})
    return answer.status_code, answer.text


def test_a_weight_is_one_patch_and_shows_its_line() -> None:
    """The patch names the version of the object that was read."""
    where = world()
    status, text = act(where, "weight", percent="40")

    assert (status, len(where.patches)) == (200, 1)
    path, patch = where.patches[0]
    assert path == "inferenceservices/iris"
    assert patch["metadata"] == {"resourceVersion": "7"}
    assert patch["spec"]["canary"] == [{**CANARY, "trafficPercent": 40}]
    assert "kubectl patch isvc iris" in text


@pytest.mark.parametrize("percent", ["", "-1", "101", "1.5", "½", "1e1", "x"])
def test_what_is_no_share_is_refused(percent: str) -> None:
    """Nothing is written."""
    where = world()
    status, text = act(where, "weight", percent=percent)

    assert (status, where.patches) == (502, [])
    assert "is no share" in text


def test_a_rollback_asks_for_the_name_and_a_published_version_of_the_model() -> None:
    """Else nothing is written."""
    where = world()
    assert act(where, "rollback", version="v2")[0] == 502
    assert act(where, "rollback", version="v2", name="Iris")[0] == 502
    assert act(where, "rollback", version="v9", name="iris")[0] == 502
    assert where.patches == []
    status, text = act(where, "rollback", version="v2", name="iris")

    assert status == 200
    assert where.patches[0][1]["spec"] == {
        "predictor": {"model": {"storageUri": "s3://models/iris/v2"}}
    }
    assert "./serin rollback iris --to v2" in text


@pytest.mark.parametrize("word", ["pause", "resume", "promote", "abort"])
def test_an_order_is_left_for_the_engine(word: str) -> None:
    """As the verb leaves it."""
    where = world(leases=[lease()])
    status, text = act(where, word, name="iris")

    assert status == 200
    path, patch = where.patches[0]
    assert path == "leases/rollout-iris"
    assert json.loads(patch["metadata"]["annotations"][COMMAND])["do"] == word
    assert f"./serin rollout {word} iris" in text


@pytest.mark.parametrize("word", ["promote", "abort"])
def test_what_many_would_feel_asks_for_the_name(word: str) -> None:
    """A wrong one is as none."""
    where = world(leases=[lease()])

    assert act(where, word)[0] == act(where, word, name="iri")[0] == 502
    assert where.patches == []


def test_nobody_is_told_where_no_engine_hears() -> None:
    """The page says what to type."""
    where = world(leases=[lease(held=False)])
    status, text = act(where, "pause")

    assert (status, where.patches) == (502, [])
    assert "./serin rollout pause iris" in text


@pytest.mark.parametrize("action", ["weight", "rollback"])
def test_nothing_interferes_with_a_rollout(action: str) -> None:
    """Its engine would take the change for somebody else's."""
    where = world(leases=[lease()])
    status, text = act(where, action, percent="5", version="v2", name="iris")

    assert (status, where.patches) == (502, [])
    assert "under way" in text


@pytest.mark.parametrize(
    "action", ["weight", "rollback", "start", "pause", "promote", "abort", "delete"]
)
def test_a_console_that_only_looks_changes_nothing(action: str) -> None:
    """And shows no form that would."""
    where = world(leases=[lease()])
    where.read_only = True

    bounds = where.ask("POST", "/scaling/iris-predictor/bounds", {"low": "1", "high": "2"})

    assert act(where, action, name="iris", percent="5", version="v2")[0] == 403
    assert bounds.status_code == 403
    assert where.patches == []
    for path in ("/models/iris", "/rollouts/iris"):
        assert "/actions/" not in where.get(path).text


def test_bounds_are_one_patch_and_show_their_line() -> None:
    """Of the ScaledObject, as kubectl would patch it."""
    where = world()
    answer = where.ask("POST", "/scaling/iris-predictor/bounds", {"low": "0", "high": "3"})

    assert answer.status_code == 200
    spec = {"minReplicaCount": 0, "maxReplicaCount": 3}
    assert where.patches == [("scaledobjects/iris-predictor", {"spec": spec})]
    assert "kubectl patch scaledobject iris-predictor" in answer.text


@pytest.mark.parametrize(
    ("low", "high"),
    [("3", "2"), ("0", "0"), ("-1", "2"), ("", "2"), ("1", "x"), ("1", "9" * 5000), ("٣", "4")],
)
def test_bounds_that_make_no_sense_are_refused(low: str, high: str) -> None:
    """With a sentence, and nothing is patched."""
    where = world()
    answer = where.ask("POST", "/scaling/iris-predictor/bounds", {"low": low, "high": high})

    assert answer.status_code == 502
    assert "replicas:" in answer.text
    assert where.patches == []


def test_a_console_without_a_place_for_engines_starts_no_rollout() -> None:
    """In a pod there is none: the page has no form, and a request gets the line to type."""
    where = World(
        objects={"inferenceservices": [service("iris", "v1")], "deployments": [deployment()]},
        versions=[published("iris", "v2"), published("iris", "v1")],
    )
    status, text = act(where, "start", version="v2")

    assert status == 502
    assert "./serin rollout start iris VERSION" in text
    assert "/actions/start" not in where.get("/models/iris").text


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"version": "v3"}, "no published version"),
        ({"version": "v2", "steps": "50,20"}, "expected percentages that rise"),
        ({"version": "v2", "requests": "0"}, "expected a whole number"),
        ({"version": "v2", "seconds": "9" * 5000}, "expected a whole number"),
        ({"version": "v2", "slo": "p99=fast"}, "is no objective"),
    ],
)
def test_a_rollout_that_makes_no_sense_is_refused(
    given: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    """Before anything is written or started."""
    where = world()
    where.logs = tmp_path / "logs"
    status, text = act(where, "start", **given)

    assert status == 502
    assert sentence in text
    assert where.patches == []
    assert not where.logs.exists()
