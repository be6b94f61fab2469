"""The page of channels: what is followed, by whom, and what the store says of it."""

from typing import Any

import pytest

from controlplane.console.sources.answer import SourceError
from controlplane.console.sources.registry import Followed, Registry
from controlplane.kubernetes.names import SOURCE
from controlplane.store import channels
from tests.support.console_world import IMAGE, World, deployment, pod, published, service

URI = "s3://models/iris@stable"


def world() -> World:
    """Iris follows a channel with two pods."""
    follower = service()
    follower["spec"]["predictor"]["model"]["storageUri"] = URI
    pods = [pod(f"iris-predictor-{n}", "iris") for n in (1, 2)]
    for document in pods:
        document["metadata"].setdefault("annotations", {})[SOURCE] = URI
    return World(
        objects={"inferenceservices": [follower], "deployments": [deployment()], "pods": pods}
    )


def report(generation: int, late: float, **more: Any) -> dict[str, Any]:
    said = {"version": "v2", "kept": "v1", "trouble": "", "failures": {}, "seen": generation}
    return {
        **said,
        "generation": generation,
        "prepared": generation,
        "switched_late_seconds": late,
        **more,
    }


def answering(monkeypatch: pytest.MonkeyPatch, followed: Followed | SourceError) -> None:
    async def channel(*_: object) -> Followed:
        if isinstance(followed, SourceError):
            raise followed
        return followed

    monkeypatch.setattr(Registry, "channel", channel)


def state(why: str = "") -> dict[str, Any]:
    begun = channels.first("v1", "ann", "", 0.0, mode="strict", keep=60.0)
    coming = channels.proposed(begun, "v2", "bob", why, 1.0, 60.0)
    return channels.committed(channels.armed(coming, 1.0), 2.0)


def test_replicas_and_their_window_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first switch to the last, and the line that makes the next one."""
    reports = {
        "iris-predictor-1": report(2, 0.001),
        "iris-predictor-2": report(2, 0.004),
        "iris-predictor-gone": report(2, 9.0),
    }
    answering(monkeypatch, Followed(state(), reports, [state()]))
    text = world().get("/channels").text

    assert "took all replicas <b>3.0 ms</b>" in text
    assert "iris-predictor-gone" not in text
    assert "./serin channel set iris VERSION" in text


def test_a_replica_behind_or_silent_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """One has not switched, the other has reported nothing."""
    answering(monkeypatch, Followed(state(), {"iris-predictor-1": report(1, 0.0)}, []))
    text = world().get("/channels").text

    assert "no report yet" in text
    assert "took all replicas" not in text


def test_what_a_writer_wrote_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reasons and troubles are anybody's."""
    reports = {"iris-predictor-1": report(2, 0.0, trouble=IMAGE)}
    answering(monkeypatch, Followed(state(IMAGE), reports, [state(IMAGE)]))
    answer = world().get("/channels")

    assert answer.status_code == 200
    assert IMAGE not in answer.text
    assert answer.text.count("&lt;img") >= 3


@pytest.mark.parametrize(
    "odd", [{}, {"generation": "x"}, {**state(), "activate_at": 1e30}, {**state(), "next": 5}]
)
def test_a_channel_of_another_form_spoils_itself_alone(
    odd: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page still says who follows it."""
    answering(monkeypatch, Followed(odd, {}, [odd]))
    answer = world().get("/channels")

    assert answer.status_code == 200
    assert '<a href="/models/iris">iris</a>' in answer.text


def test_a_store_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the channel's own box."""
    answering(monkeypatch, SourceError("S3 does not answer: refused"))
    answer = world().get("/channels")

    assert answer.status_code == 200
    assert "S3 does not answer: refused" in answer.text


def test_without_a_follower_the_page_says_how_to_have_one() -> None:
    """And nothing is asked of the store."""
    assert "No InferenceService follows a channel" in World().get("/channels").text


def test_what_was_refused_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the version and the reason, until the next commit."""
    begun = channels.first("v1", "ann", "", 0.0, mode="strict", keep=60.0)
    coming = channels.proposed(begun, "v2", "bob", "", 1.0, 60.0)
    refused = channels.withdrawn(coming, f"the signature differs {IMAGE}")
    answering(monkeypatch, Followed(refused, {}, [begun]))
    text = world().get("/channels").text

    assert "Not committed: v2: the signature differs" in text
    assert IMAGE not in text


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "Type the model&#39;s name, iris"),
        ({"name": "iris", "version": "v9"}, "&#39;v9&#39; is no other published version of iris."),
        ({"name": "iris", "version": "v2"}, "writes no channel. Type: ./serin channel set iris v2"),
        ({"name": "iris", "uri": "s3://models/iris@other"}, "No InferenceService follows"),
        ({"name": "iris", "uri": IMAGE}, "No InferenceService follows"),
    ],
)
def test_a_swap_that_cannot_be_says_why(
    given: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the store is not this console's to write, the verb is named."""
    begun = channels.first("v1", "ann", "", 0.0, mode="strict", keep=60.0)
    answering(monkeypatch, Followed(begun, {}, [begun]))
    shop = world()
    shop.versions = [published("iris", "v1"), published("iris", "v2")]
    answer = shop.ask("POST", "/channels/set", {"uri": URI, **given})

    assert answer.status_code == 502
    assert sentence in answer.text


def test_no_swap_is_offered_without_the_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the page nor to a form that is sent all the same."""
    begun = channels.first("v1", "ann", "", 0.0, mode="strict", keep=60.0)
    answering(monkeypatch, Followed(begun, {}, [begun]))
    shop = world()
    shop.forbidden = ("patch leases",)
    answer = shop.ask("POST", "/channels/set", {"uri": URI, "name": "iris", "version": "v2"})

    assert answer.status_code == 403
    assert 'action="/channels/set"' not in shop.get("/channels").text
