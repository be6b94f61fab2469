"""Actions that Kubernetes does not allow to the console's credentials: not offered, and why."""

import re
from html import unescape

import pytest

from tests.support.console_world import IMAGE, World
from tests.unit.console.test_actions import lease, world
from tests.unit.console.test_runs import job

SERVICE = "patch inferenceservices"
FORMS = {
    "/models/iris": {"act-weight": SERVICE, "act-rollback": SERVICE},
    "/rollouts/iris": {f"act-{word}": "patch leases" for word in ("pause", "resume", "promote")},
    "/training": {"act-cancel": "delete jobs"},
    "/training/start/iris": {"act-train": "create jobs"},
    "/scaling": {"bounds-iris": "patch scaledobjects"},
}
ACTIONS = {
    "/models/iris/actions/weight": SERVICE,
    "/models/iris/actions/start": "create leases",
    "/models/iris/actions/abort": "patch leases",
    "/scaling/iris/bounds": "patch scaledobjects",
    "/training/actions/start": "create jobs",
    "/training/train-iris/cancel": "delete jobs",
}


def place(*forbidden: str) -> World:
    """Iris with a canary, a rollout, a training and a ScaledObject."""
    spec = {"scaleTargetRef": {"name": "iris"}, "triggers": [], "maxReplicaCount": 3}
    scaled = {"metadata": {"name": "iris"}, "spec": spec}
    made = world(leases=[lease()], jobs=[job()], scaledobjects=[scaled])
    made.forbidden = forbidden
    return made


def form(where: World, path: str, name: str) -> str:
    """The text of one form of a page."""
    answer = where.get(path)
    assert answer.status_code == 200
    found = re.search(rf'<form[^>]*id="{name}".*?</form>', answer.text, re.DOTALL)
    assert found, name
    return found[0]


@pytest.mark.parametrize(
    ("path", "name", "right"),
    [(path, name, right) for path, forms in FORMS.items() for name, right in forms.items()],
)
def test_a_button_works_only_where_its_right_is_there(path: str, name: str, right: str) -> None:
    """Without it the button is dead and says why, in words that are no markup."""
    assert " disabled" not in form(place(), path, name)
    refused = form(place(right), path, name)

    assert " disabled" in refused
    assert f"Its account may not {right}" in refused
    assert IMAGE not in refused
    assert IMAGE in unescape(refused)
    assert " disabled" not in form(place("get secrets"), path, name)


@pytest.mark.parametrize(("path", "right"), ACTIONS.items())
def test_what_is_not_offered_is_refused_when_sent(path: str, right: str) -> None:
    """Before anything is written."""
    where = place(right)
    answer = where.ask("POST", path, {"percent": "40", "model": "iris", "name": "iris"})

    assert answer.status_code == 403
    assert f"may not {right}" in unescape(answer.text)
    assert where.patches == []
    assert [kept["metadata"]["name"] for kept in where.objects["jobs"]] == ["train-iris"]


@pytest.mark.parametrize("path", FORMS)
def test_what_cannot_be_asked_is_not_offered(path: str) -> None:
    """The page is there all the same, and says it."""
    text = place("*").get(path).text

    assert text.count(" disabled") == text.count('<span class="refused">') > 0
    assert "The Kubernetes API refuses: etcd is away" in text
