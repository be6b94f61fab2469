"""The registry's page: two versions beside each other, and every byte hashed again."""

from html import unescape
from typing import Any

import pytest

from controlplane.store import artifacts, integrity
from controlplane.store.catalog import Version
from tests.support.console_world import IMAGE, World, published


def world(**manifest: Any) -> World:
    """Two versions of iris, and one of nli."""
    new = published("iris", "v2", metrics={"accuracy": 0.98}, data={"seed": IMAGE}, **manifest)
    old = published("iris", "v1", metrics={"accuracy": 0.9}, code={"sha256": "0" * 64})
    return World(versions=[new, old, published("nli", "v9")])


def test_two_versions_are_compared_by_their_manifests() -> None:
    """Metrics first, then the rest, as text; the terminal's line is the verb's."""
    text = world().get("/registry/diff?model=iris&version=v1&other=v2").text
    rows = [text.index(field) for field in ("metrics.accuracy", "code.sha256", "data.seed")]

    assert rows == sorted(rows)
    assert "<td>0.9</td><td>0.98</td>" in text
    assert f"<td>–</td><td>{IMAGE}</td>" in unescape(text)
    assert IMAGE not in text
    assert "./serin models diff iris v1 v2" in text
    assert "They do not differ" in world().get("/registry/diff?model=iris&version=v1&other=v1").text


def test_the_forms_are_there_where_a_model_is_chosen() -> None:
    """From the older to the newer version."""
    text = world().get("/registry?model=iris").text

    assert text.count("<option selected>") == 2
    assert text.index("<option selected>v1") < text.index("<option selected>v2")
    assert 'action="/registry/verify"' in text
    assert "/registry/diff" not in world().get("/registry").text


@pytest.mark.parametrize("other", ["", "v9", IMAGE])
def test_what_is_not_published_is_not_compared(other: str) -> None:
    """The page says what it did not find."""
    where = world()
    answer = where.get(f"/registry/diff?model=iris&version=v1&other={other}")
    hashed = where.ask("POST", "/registry/verify", {"model": "iris", "version": other})

    for text in (answer.text, hashed.text):
        assert "is no published version of iris" in text
        assert IMAGE not in text


def test_a_manifest_of_any_form_is_compared() -> None:
    """S3 holds what its writers put there."""
    where = world(odd=[{"name": IMAGE}, {"name": 5}, {}], more={"a": [None, {"b": 1}]})

    assert where.get("/registry/diff?model=iris&version=v1&other=v2").status_code == 200


@pytest.mark.parametrize("damage", [[], [f"model.onnx: {IMAGE}"]])
def test_a_version_is_verified(damage: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the console only looks: it writes nothing."""
    asked: list[Version] = []

    def hashed(_: object, version: Version) -> list[str]:
        asked.append(version)
        return damage

    monkeypatch.setattr(artifacts, "objects", lambda *_: [])
    monkeypatch.setattr(integrity, "damage", hashed)
    where = world()
    where.read_only = True
    answer = where.ask("POST", "/registry/verify", {"model": "iris", "version": "v1"})

    assert answer.status_code == 200
    assert [(version.model, version.version) for version in asked] == [("iris", "v1")]
    assert ("iris v1 is damaged" if damage else "iris v1 is sound") in answer.text
    assert all(sentence in unescape(answer.text) for sentence in damage)
    assert IMAGE not in answer.text
    assert "./serin models verify iris v1" in answer.text
