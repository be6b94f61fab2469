"""Patches and ownership of fields."""

from typing import Any

import pytest

from controlplane.kubernetes import patchtypes
from controlplane.kubernetes.kinds import Kind, by_name
from controlplane.kubernetes.refusals import Conflict, Invalid, UnsupportedMediaType
from controlplane.local.api.kubectl.ages import human
from controlplane.local.api.kubectl.jsonpath import find
from controlplane.local.api.kubectl.selectors import selected
from controlplane.local.api.writes import ownership, patches
from tests.support.manifests import service


def kind(name: str) -> Kind:
    """A served kind."""
    found = by_name(name)
    assert found is not None
    return found


def job(*env: dict[str, str], **more: Any) -> dict[str, Any]:
    """A Job with one container."""
    container = {"name": "work", "env": list(env), **more}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


def test_a_merge_patch_removes_with_null_and_replaces_lists() -> None:
    """RFC 7386."""
    live = {"a": {"b": 1, "c": [1, 2]}, "d": 1}

    found = patches.patched(
        kind("InferenceService"), patchtypes.MERGE, live, {"a": {"c": [3], "b": None}, "d": None}
    )

    assert found == {"a": {"c": [3]}}


def test_a_strategic_patch_merges_lists_by_their_key() -> None:
    """The key is the schema's: `name` of containers and of their variables."""
    live = job({"name": "A", "value": "1"}, {"name": "B", "value": "2"}, image="x")
    patch = job({"name": "B", "value": "3"}, {"name": "A", "$patch": "delete"}, {"name": "C"})

    found = patches.patched(kind("Job"), patchtypes.STRATEGIC, live, patch)

    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "B", "value": "3"}, {"name": "C"}]
    assert container["image"] == "x"


def test_a_custom_kind_takes_no_strategic_patch() -> None:
    """As in a cluster; the answer lists what it takes."""
    with pytest.raises(UnsupportedMediaType, match="merge-patch"):
        patches.patched(kind("InferenceService"), patchtypes.STRATEGIC, {}, {})


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "replace", "path": "/b", "value": 2},
        {"op": "remove", "path": "/c/0"},
    ],
)
def test_a_json_patch_on_another_object_than_thought_is_invalid(operation: dict[str, Any]) -> None:
    """A test that fails, and a path that is not there."""
    with pytest.raises(Invalid):
        patches.patched(kind("Job"), patchtypes.JSON, {"a": 1}, [operation])


def applied(live: dict[str, Any] | None, timeout: int | None, manager: str, **how: bool) -> Any:
    """Apply iris with a timeout, or without one."""
    predictor = {} if timeout is None else {"timeout": timeout}
    config = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "iris", "namespace": "models"},
        "spec": {"predictor": {"minReplicas": 1, **predictor}},
    }
    return ownership.applied(live, config, manager, force=how.get("force", False))


def test_apply_removes_what_its_manager_leaves_out() -> None:
    """And keeps what others set."""
    live = applied(None, 60, "me")
    changed = {**live, "spec": {"predictor": {"minReplicas": 1, "timeout": 60}, "x": 1}}
    ownership.updated(live, changed, "kubectl-patch")

    found = applied(changed, None, "me")

    assert found["spec"] == {"predictor": {"minReplicas": 1}, "x": 1}


def test_apply_conflicts_with_another_manager_until_forced() -> None:
    """The same value is no conflict: both own it then."""
    live = applied(None, 60, "me")
    changed = {**live, "spec": {"predictor": {"minReplicas": 1, "timeout": 61}}}
    ownership.updated(live, changed, "kubectl-patch")

    with pytest.raises(Conflict, match=r"kubectl-patch.*\.spec\.predictor\.timeout"):
        applied(changed, 60, "me")
    assert applied(changed, 61, "me")["spec"]["predictor"]["timeout"] == 61
    forced = applied(changed, 60, "me", force=True)
    assert forced["spec"]["predictor"]["timeout"] == 60
    assert {one["manager"] for one in forced["metadata"]["managedFields"]} == {"me"}


@pytest.mark.parametrize(
    ("labels", "fields", "fits"),
    [
        ("", "", True),
        ("a=1", "", True),
        ("a==1,b!=2", "", True),
        ("a in (1,2),!c", "", True),
        ("a notin (1)", "", False),
        ("c", "", False),
        ("", "metadata.name=iris", True),
        ("", "metadata.name!=iris", False),
        ("", "status.phase=Running,metadata.name=iris", False),
    ],
)
def test_selectors(labels: str, fields: str, fits: bool) -> None:
    """Equality and sets, of labels and of fields."""
    one = service()
    one["metadata"]["labels"] = {"a": "1", "b": "3"}

    assert selected(labels, fields)(one) is fits


def test_printer_columns_jsonpath() -> None:
    """The forms that the CRDs' columns use."""
    one = {"a": [{"type": "Ready", "s": "True"}, {"type": "X", "s": "no"}], "b": {"c": 1}}

    assert find(".a[?(@.type=='Ready')].s", one) == ["True"]
    assert find('.a[?(@.type=="Ready")].s', one) == ["True"]
    assert find(".a[*].type", one) == ["Ready", "X"]
    assert find(".b.c", one) == [1]
    assert find(".b.d.e", one) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5, "5s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (1000, "16m"),
        (11000, "3h3m"),
        (90000, "25h"),
        (200000, "2d7h"),
        (5e6, "57d"),
        (1e8, "3y"),
    ],
)
def test_ages_are_kubectls(seconds: float, text: str) -> None:
    """At most two units."""
    assert human(seconds) == text
