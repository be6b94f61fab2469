"""From an InferenceService to what runs: KServe's Deployments and routes, and the plan of them."""

import re
from typing import Any

import pytest

from controlplane.errors import ManifestError
from controlplane.local.api.schemas import validation
from controlplane.local.controllers import inference
from controlplane.local.controllers.plan import Backend, Probe
from tests.support.manifests import RUNTIME, canary, planned, service


def test_a_service_becomes_kserves_deployment_and_route() -> None:
    """Names and hosts are those that KServe gives in a cluster."""
    found = planned(service())

    (deployment,) = found.deployments
    (route,) = found.routes
    assert deployment.name == "iris-predictor"
    assert deployment.storage_uri == "s3://models/iris/a1"
    assert deployment.version == "a1"
    assert route.hosts == ("iris-models.localhost", "iris-predictor-models.localhost")
    assert route.backends == (Backend("iris-predictor", 1),)


@pytest.mark.parametrize(("field", "empty"), [("image", ""), ("command", []), ("env", [])])
def test_an_empty_field_leaves_the_runtimes(field: str, empty: object) -> None:
    """Go writes no empty text or list, so KServe merges none."""
    document = service()
    document["spec"]["predictor"]["model"][field] = empty

    (deployment,) = inference.deployments(document, {"serin-iris": RUNTIME})

    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container[field] == RUNTIME["spec"]["containers"][0][field]


def test_a_refused_deployment_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The controllers ask in each of their steps, and a check takes as long as all the rest."""
    document, checked = service(), 0
    document["spec"]["predictor"]["labels"] = {"asked": "twice", "a b": "c"}
    check = validation.check

    def counted(*arguments: Any) -> None:
        nonlocal checked
        checked += 1
        check(*arguments)

    monkeypatch.setattr(validation, "check", counted)
    for _ in range(2):
        with pytest.raises(ManifestError, match="asks for a Deployment that is refused"):
            inference.deployments(document, {"serin-iris": RUNTIME})

    assert checked == 1


@pytest.mark.parametrize(
    ("ready", "weights"),
    [
        ({}, {"iris-predictor": 1}),
        ({"iris-predictor": 2}, {"iris-predictor": 1}),
        ({"iris-canary-predictor": 1}, {"iris-predictor": 70, "iris-canary-predictor": 30}),
    ],
)
def test_weights_follow_readiness(ready: dict[str, int], weights: dict[str, int]) -> None:
    """A canary without a ready pod gets no request."""
    found = planned(service(canary=[canary(30, "b2")]), ready)

    assert {b.deployment: b.weight for b in found.routes[0].backends} == weights
    assert [d.name for d in found.deployments] == ["iris-canary-predictor", "iris-predictor"]
    assert [d.version for d in found.deployments] == ["b2", "a1"]


@pytest.mark.parametrize(
    ("kind", "stable", "own", "percent", "ready", "expected"),
    [
        ("external", 4, None, 50, 0, (1, 1)),
        ("none", 4, None, 50, 0, (2, 4)),
        ("none", 4, None, 50, 2, (2, 2)),
        ("none", 4, 1, 50, 1, (1, 3)),
        ("none", 4, None, 10, 0, (1, 4)),
        ("none", 4, None, 0, 0, (0, 4)),
        ("none", 1, None, 100, 1, (1, 1)),
    ],
)
def test_replicas_are_kserves(
    kind: str, stable: int, own: int | None, percent: int, ready: int, expected: tuple[int, int]
) -> None:
    """Stable gives way to ready canaries; a canary has its share, rounded up; never below one."""
    least: dict[str, Any] = {} if own is None else {"minReplicas": own}
    document = service(canary=[canary(percent, "b2", **least)])
    document["spec"]["predictor"]["minReplicas"] = stable
    document["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] = kind

    found = [
        inference.replicas(document, predictor, ready)
        for predictor in inference.predictors(document)
    ]

    assert tuple(found) == expected


def test_the_template_hash_changes_with_the_version_only_where_it_should() -> None:
    """Replicas are not part of a pod's template; the version is."""
    one = planned(service(), replicas=1).deployments[0]
    two = planned(service(), replicas=2).deployments[0]
    other = planned(service("b2")).deployments[0]

    assert one.template_hash == two.template_hash
    assert one.template_hash != other.template_hash


def test_the_services_arguments_and_env_come_last() -> None:
    """KServe appends arguments and lets the service's variables win."""
    model = {
        "runtime": "serin-iris",
        "storageUri": "s3://models/iris/a1",
        "args": ["--max_threads=2"],
        "env": [{"name": "PREDICTOR_THREADS", "value": "2"}],
    }

    (found,) = planned(service(predictor={"model": model})).deployments

    assert found.container.args[-1] == "--max_threads=2"
    (container,) = found.template["spec"]["containers"]
    assert container["env"] == [{"name": "PREDICTOR_THREADS", "value": "2"}]


def test_a_service_that_names_no_runtime_gets_the_one_of_its_format() -> None:
    """KServe's autoSelect: of runtimes that are not disabled, the first one by name."""
    spec = {**RUNTIME["spec"], "supportedModelFormats": [{"name": "onnx", "autoSelect": True}]}
    runtimes = {
        "a": {**RUNTIME, "spec": {**spec, "disabled": True}},
        "b": {**RUNTIME, "spec": {**spec, "annotations": {"chosen": "b"}}},
        "c": {**RUNTIME, "spec": spec},
    }
    one = service()
    one["spec"]["predictor"]["model"] = {
        "modelFormat": {"name": "onnx"},
        "storageUri": "s3://models/iris/a1",
    }
    (found,) = inference.deployments(one, runtimes)

    assert found["spec"]["template"]["metadata"]["annotations"]["chosen"] == "b"
    one["spec"]["predictor"]["model"]["modelFormat"]["name"] = "sklearn"
    with pytest.raises(ManifestError, match="serves modelFormat sklearn by itself"):
        inference.deployments(one, runtimes)


def test_a_services_name_is_filled_into_its_runtime() -> None:
    """{{.Name}} works anywhere in the container, also in probes."""
    filled = planned(service()).deployments[0].container

    assert filled.args[0] == "--model_name=iris"
    assert filled.readiness is not None
    assert filled.readiness.path == "/v2/models/iris/ready"
    assert (filled.http_port, filled.grpc_port) == (8080, 8081)


def test_a_canary_inherits_what_it_does_not_say() -> None:
    """KServe merges it over stable: set fields win, lists are replaced, zeros cannot override."""
    stable = {"timeout": 60, "model": {"runtime": "r", "args": ["--a", "--b"], "storageUri": "u"}}
    own = {"name": "canary", "timeout": 0, "model": {"args": ["--c"], "storageUri": "v"}}

    assert inference.merged(stable, own) == {
        "name": "canary",
        "timeout": 60,
        "model": {"runtime": "r", "args": ["--c"], "storageUri": "v"},
    }


def test_pods_have_what_kserve_gives_them() -> None:
    """Labels, annotations and the pod's own fields: service, runtime, predictor."""
    runtime = {**RUNTIME, "spec": {**RUNTIME["spec"], "labels": {"a": "runtime", "b": "runtime"}}}
    runtime["spec"]["volumes"] = [{"name": "shared", "emptyDir": {}}]
    one = service()
    one["metadata"]["labels"] = {"a": "service", "c": "service"}
    one["metadata"]["annotations"] |= {
        "note": "hi",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    one["spec"]["predictor"] |= {
        "labels": {"team": "ml", "b": "predictor"},
        "annotations": {"prometheus.io/scrape": "true"},
        "nodeSelector": {"disk": "ssd"},
        "volumes": [{"name": "own", "secret": {"secretName": "s"}}],
    }

    (deployment,) = inference.deployments(one, {"serin-iris": runtime})

    metadata, pod = (deployment["spec"]["template"][name] for name in ("metadata", "spec"))
    assert {"a": "runtime", "b": "predictor", "c": "service", "team": "ml"}.items() <= (
        metadata["labels"].items()
    )
    assert {"note": "hi", "prometheus.io/scrape": "true"}.items() <= (
        metadata["annotations"].items()
    )
    assert "kubectl.kubernetes.io/last-applied-configuration" not in metadata["annotations"]
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert {volume["name"] for volume in pod["volumes"]} == {"own", "shared"}


@pytest.mark.parametrize(
    ("predictor", "said"),
    [
        (
            {"deploymentStrategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}},
            "maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
        ),
        ({"deploymentStrategy": {"type": "BlueGreen"}}, 'Unsupported value: "BlueGreen"'),
        ({"labels": {"team": "a b"}}, 'labels: Invalid value: "a b"'),
    ],
)
def test_what_the_api_server_refuses_of_a_deployment_is_told(
    predictor: dict[str, Any], said: str
) -> None:
    """KServe takes it, and the InferenceService says in the API server's words what is wrong."""
    one = service()
    one["spec"]["predictor"] |= predictor

    with pytest.raises(ManifestError, match=re.escape(said)):
        inference.deployments(one, {"serin-iris": RUNTIME})


@pytest.mark.parametrize(
    ("predictor", "complaint"),
    [
        ({"containers": []}, "without `model`"),
        ({"model": {"storageUri": "s3://models/iris/a1"}}, "no runtime"),
        ({"model": {"runtime": "other", "storageUri": "u"}}, "names the ServingRuntime other"),
    ],
)
def test_what_cannot_be_served_says_why(predictor: dict[str, Any], complaint: str) -> None:
    """Nothing of the InferenceService changes then; the sentence names the field."""
    with pytest.raises(ManifestError, match=complaint):
        planned(service(predictor=predictor))


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        ({"httpGet": {"path": "/x", "port": "http1"}}, Probe("/x", 8080)),
        ({"tcpSocket": {"port": "h2c-grpc"}}, Probe("/", 8081, "tcpSocket")),
        ({"grpc": {"port": 8081, "service": "s"}}, Probe("/", 8081, "grpc", service="s")),
        ({"exec": {"command": ["true"]}}, Probe("/", 0, "exec", command=("true",))),
    ],
)
def test_every_form_of_probe_is_read(handler: dict[str, Any], expected: Probe) -> None:
    """A port may be named, as the container names it."""
    tree = {**RUNTIME["spec"]["containers"][0], "livenessProbe": handler}

    (deployment,) = planned(
        service(), runtime={**RUNTIME, "spec": {"containers": [tree]}}
    ).deployments

    assert deployment.container.liveness == expected


def test_a_probe_of_a_port_that_is_not_there_is_told() -> None:
    """With the names that there are."""
    probe = {"httpGet": {"port": "http"}}
    tree = {**RUNTIME["spec"]["containers"][0], "livenessProbe": probe}

    with pytest.raises(ManifestError, match="the port 'http'; its ports are: h2c-grpc, http1"):
        planned(service(), runtime={**RUNTIME, "spec": {"containers": [tree]}})
