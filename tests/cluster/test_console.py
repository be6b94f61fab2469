"""The console's Deployment in a cluster: who may come in, what pages say, what rights allow."""

import json
import re
import socket
from collections.abc import Iterator
from functools import partial

import httpx
import pytest

from controlplane.cluster.kubectl import Document
from tests.support.cluster import CANARY, MODEL, Cluster, serin, store, wait
from tests.support.console_pod import PORT, SECONDS, documents, entered, page, pods, put

ACTIONS = (
    *(f"/models/{MODEL}/actions/{action}" for action in ("weight", "rollback", "abort")),
    f"/scaling/{MODEL}-predictor/bounds",
    "/training/actions/start",
    f"/training/train-{MODEL}/cancel",
)
FORM = {"percent": "1", "low": "1", "high": "2", "model": MODEL, "name": MODEL}
pytestmark = pytest.mark.image("console")


@pytest.fixture(scope="module")
def deployed(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Document]]:
    """The console's objects, as they are without a patch."""
    objects = documents(tmp_path_factory.mktemp("console"))
    try:
        put(cluster, objects)
        yield objects
    finally:
        cluster.api.delete(objects, SECONDS)


@pytest.fixture
def console(cluster: Cluster, deployed: list[Document]) -> Iterator[httpx.Client]:
    """Somebody whom Kubernetes let in, with the address of the pod's log; a console that looks."""
    put(cluster, deployed)
    with entered(cluster) as client:
        yield client


@pytest.fixture
def acting(cluster: Cluster, deployed: list[Document]) -> Iterator[httpx.Client]:
    """The same without --read-only: its account is what limits it."""
    (deployment,) = (one for one in deployed if one["kind"] == "Deployment")
    changed = json.loads(json.dumps(deployment))
    (container,) = changed["spec"]["template"]["spec"]["containers"]
    container["args"].remove("--read-only")
    put(cluster, [changed])
    try:
        with entered(cluster) as client:
            yield client
    finally:
        put(cluster, deployed)


def buttons(text: str, name: str) -> list[str]:
    """The buttons of a page's form."""
    form = re.search(rf'<form[^>]*id="{name}".*?</form>', text, re.DOTALL)
    return re.findall(r"<button[^>]*>", form[0]) if form else []


def test_nobody_comes_in_but_by_kubernetes_and_the_token(
    cluster: Cluster, console: httpx.Client
) -> None:
    """No port of the pod answers; what is forwarded wants the token, its own name and origin."""
    (pod,) = pods(cluster)
    with pytest.raises(OSError, match=r"refused|timed out"):
        socket.create_connection((pod["status"]["podIP"], PORT), timeout=30)
    stranger = httpx.Client(base_url=console.base_url, trust_env=False, timeout=60.0)
    with stranger:
        for path in ("/", f"/models/{MODEL}", "/scaling", "/api/runs", "/?token=" + "x" * 32):
            assert stranger.get(path).status_code == 403
        assert stranger.post("/api/runs", json={"model": MODEL}).status_code == 403
    named = {"Host": "console.models.svc"}
    elsewhere = {"Origin": "http://console.models.svc"}
    assert console.get("/", headers=named).status_code == 403
    assert console.post("/api/runs", headers=elsewhere, json={"model": MODEL}).status_code == 403
    assert console.get("/").status_code == 200


def test_pages_say_what_kubectl_says(cluster: Cluster, console: httpx.Client, second: str) -> None:
    """Pods and versions of both parts, replicas and bounds, a Job: while a canary has a share."""
    cluster.canary(40, cluster.model(second))
    cluster.rolled(CANARY, second)
    with cluster.load(rate=20):
        wait(lambda: cluster.weight(CANARY) == 40, SECONDS, "the canary's weight")
        wait(partial(shows_pods, cluster, console), SECONDS, "its pods on the page")
        text = page(console, f"/models/{MODEL}")
        wait(partial(shows_scaling, cluster, console), SECONDS, "its replicas on the page")
    listed = page(console, "/")

    assert re.search(r"<dt>stable <b>60 %</b></dt>\s*<dd><code>" + cluster.first, text)
    assert re.search(r"<dt>canary <b>40 %</b></dt>\s*<dd><code>" + second, text)
    assert {cluster.first, second} <= set(re.findall("[0-9a-f]{12}", listed))
    training = page(console, f"/training/train-{MODEL}")
    job = cluster.get("job", f"train-{MODEL}")
    state = next(one["type"] for one in job["status"]["conditions"] if one["type"] == "Complete")
    row = re.search(rf'<tr class="chosen">.*?train-{MODEL}<.*?</tr>', training, re.DOTALL)
    assert row
    assert f">{state}<" in row[0]
    assert "100 %" in row[0]
    assert cluster.first in training, "the log ends with its version"


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/rollouts", "/channels", "/training", "/training/compare", "/scaling"),
        *(f"/scaling/{MODEL}-predictor", "/alerts", "/registry", f"/models/{MODEL}/try"),
    ],
)
def test_every_page_may_read_what_it_shows(console: httpx.Client, path: str) -> None:
    """The component's account has each right that a page needs, and its sources are reached."""
    wait(lambda: console.get(path).status_code == 200, SECONDS, path)
    assert "The Kubernetes API refuses" not in page(console, path)


def shows_pods(cluster: Cluster, console: httpx.Client) -> bool:
    """Whether the page of the model has kubectl's pods, and how ready each is."""
    label = f"serving.kserve.io/inferenceservice={MODEL}"
    ready = {
        one["metadata"]["name"]: any(
            (condition["type"], condition["status"]) == ("Ready", "True")
            for condition in one["status"].get("conditions", ())
        )
        for one in cluster.get("pods", "-l", label)["items"]
    }
    text = page(console, f"/models/{MODEL}")
    rows = re.findall(r'<tr><th scope="row"><a href="[^"]*">([^<]+)</a>(.*?)</tr>', text, re.DOTALL)
    return {name: ">Ready<" in rest for name, rest in rows} == ready


def shows_scaling(cluster: Cluster, console: httpx.Client) -> bool:
    """Whether the page of scaling has kubectl's numbers, for each ScaledObject."""
    found = {}
    for one in cluster.get("scaledobjects")["items"]:
        name = one["metadata"]["name"]
        hpas = cluster.get("hpa", "-l", f"scaledobject.keda.sh/name={name}")["items"]
        current = hpas[0]["status"].get("currentReplicas", 0) if hpas else 0
        bounds = (one["spec"]["minReplicaCount"], one["spec"]["maxReplicaCount"])
        found[name] = (current, *bounds)
    pattern = r"<h2>([^<]+)</h2>\s*<p><b>(\d+)</b> replica.*?<small>of (\d+) … (\d+)</small>"
    told = re.findall(pattern, page(console, "/scaling"), re.DOTALL)
    return {name: tuple(map(int, numbers)) for name, *numbers in told} == found


def test_the_page_of_a_rollout_says_what_its_lease_says(
    cluster: Cluster, console: httpx.Client, second: str
) -> None:
    """While it is judged, and after it was aborted."""
    plan = ("--steps", "20,100", "--min-requests", "1000000", "--step-seconds", "900")
    with store(cluster) as environment, cluster.load(rate=20):
        serin(environment, "rollout", "start", MODEL, second, *plan)
        try:
            wait(partial(shows_rollout, cluster, console, "Judging"), 240, "the first step")
            text = page(console, f"/rollouts/{MODEL}")
        finally:
            serin(environment, "rollout", "abort", MODEL)
        wait(partial(shows_rollout, cluster, console, "Aborted"), 240, "its end")

    assert re.search(r'aria-current="step"><b>20 %</b>', text)


def shows_rollout(cluster: Cluster, console: httpx.Client, word: str) -> bool:
    """Whether the Lease and the page are at a phase, or at an outcome."""
    notes = cluster.get("lease", f"rollout-{MODEL}")["metadata"]["annotations"]
    state = json.loads(notes["rollout.serin/state"])
    text = page(console, f"/rollouts/{MODEL}")
    return word in {state["phase"], state.get("outcome")} and f">{word}<" in text


def test_a_console_that_looks_has_no_action(console: httpx.Client) -> None:
    """No form of one on any page; what is sent all the same is 403, by its flag."""
    for path in (f"/models/{MODEL}", "/scaling", "/training", "/rollouts"):
        assert not re.search(r'<form[^>]*class="action"', page(console, path)), path
    for path in ACTIONS:
        answer = console.post(path, data=FORM)
        assert (answer.status_code, "only looks" in answer.text) == (403, True), path
    answer = console.post("/api/runs", json={"model": MODEL})
    assert (answer.status_code, "only looks" in answer.json()["error"]) == (403, True)


def test_an_account_that_may_look_is_offered_nothing_and_is_refused(
    cluster: Cluster, acting: httpx.Client, second: str
) -> None:
    """Kubernetes is asked (SelfSubjectAccessReview): each button is dead and names its right."""
    was = cluster.get("isvc", MODEL)["spec"]
    scaling = page(acting, "/scaling")
    forms = buttons(scaling, f"bounds-{MODEL}-predictor")
    forms += buttons(page(acting, f"/models/{MODEL}"), "act-rollback")
    assert len(forms) >= 2
    assert all(" disabled" in button for button in forms), forms
    assert "Its account may not patch scaledobjects" in scaling
    for path in ACTIONS:
        answer = acting.post(path, data=FORM | {"version": second})
        assert answer.status_code == 403, path
        assert "Its account may not " in answer.text
    for path, body in (("/api/runs", {"model": MODEL}),):
        answer = acting.post(path, json=body)
        assert (answer.status_code, "may not create" in answer.json()["error"]) == (403, True)
    assert cluster.get("isvc", MODEL)["spec"] == was


def test_a_right_that_is_given_or_taken_is_felt(
    cluster: Cluster, acting: httpx.Client, deployed: list[Document]
) -> None:
    """With the right to patch ScaledObjects a form sets their bounds; without it Jobs are 403."""
    (role,) = (one for one in deployed if one["kind"] == "Role")
    name = f"{MODEL}-predictor"
    changed = json.loads(json.dumps(role))
    for rule in changed["rules"]:
        if rule["resources"] == ["scaledobjects"]:
            rule["verbs"].append("patch")
    changed["rules"] = [rule for rule in changed["rules"] if rule["resources"] != ["jobs"]]
    try:
        cluster.api.apply([changed])
        wait(partial(offers, acting, f"bounds-{name}"), SECONDS, "the button to live")
        answer = acting.post(f"/scaling/{name}/bounds", data={"low": "1", "high": "4"})
        assert answer.status_code == 200, answer.text[-2000:]
        spec = cluster.get("scaledobject", name)["spec"]
        assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (1, 4)
        refused = acting.get("/api/runs")
        assert refused.status_code == 403
        assert 'cannot list resource "jobs"' in refused.json()["error"]
        assert 'cannot list resource "jobs"' in page(acting, "/training")
    finally:
        cluster.api.apply([role])
        scale = ("-n", "models", "patch", "scaledobject", name, "--type", "merge", "-p")
        cluster.kubectl(*scale, '{"spec": {"minReplicaCount": 1, "maxReplicaCount": 5}}')


def offers(client: httpx.Client, name: str) -> bool:
    """Whether the page of scaling has a form with a live button."""
    found = buttons(page(client, "/scaling"), name)
    return bool(found) and not any(" disabled" in button for button in found)
