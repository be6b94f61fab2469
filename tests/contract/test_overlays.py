"""What a cluster would be sent: overlays and components, by the schemas and by their meaning."""

import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from controlplane.cluster.releases import versions
from controlplane.console import live
from controlplane.kubernetes.kinds import KINDS
from controlplane.local.api.schemas import schema_of
from controlplane.rollout.steps.mirror import mirror_route
from tests.contract.test_manifests import rendered, schemas, strict
from tests.support.required import ROOT

__all__ = ["schemas"]
CONSOLE = ROOT / "controlplane" / "console"
OVERLAYS = sorted(path.parent.name for path in ROOT.glob("kserve/overlays/*/kustomization.yaml"))
COMPONENTS = sorted(
    path.parent
    for path in ROOT.glob("kserve/components/*/kustomization.yaml")
    if path.parent.name != "versions"  # every overlay has it
)
JOB_COMPONENTS = sorted(ROOT.glob("training/jobs/components/*"))
Document = dict[str, Any]


def of_kind(documents: list[Document], kind: str) -> list[Document]:
    """The objects of one kind."""
    return [one for one in documents if one["kind"] == kind]


def with_component(tmp_path: Path, base: Path, component: Path) -> list[Document]:
    """A base with a component, as somebody's own overlay has it."""
    paths = [os.path.relpath(path, tmp_path) for path in (base, component)]  # kustomize's way
    document = {"resources": paths[:1], "components": paths[1:]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(document))
    return rendered(tmp_path)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_fits_the_crds(
    overlay: str, schemas: dict[tuple[str, str], dict[str, Any]]
) -> None:
    """Patches land where the CRDs have a field."""
    documents = rendered(ROOT / "kserve" / "overlays" / overlay)
    builtin = ("networking.k8s.io/", "rbac.authorization.k8s.io/", "policy/", "v1")
    custom = [one for one in documents if not one["apiVersion"].startswith(builtin)]

    services, runtimes = of_kind(custom, "InferenceService"), of_kind(custom, "ServingRuntime")
    named = {one["spec"]["predictor"]["model"]["runtime"] for one in services}
    assert len(named) == len(services) > 0
    # One a service, and the one that a format chooses.
    assert {one["metadata"]["name"] for one in runtimes} == {*named, "serin-onnx"}
    for document in custom:
        schema = schemas[document["kind"], document["apiVersion"].split("/")[1]]
        jsonschema.Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_version_is_named_in_one_line_an_overlay(overlay: str) -> None:
    """Each storageUri ends with what versions.yaml says, and that file stays at home."""
    documents = rendered(ROOT / "kserve" / "overlays" / overlay)
    uris = {
        one["metadata"]["name"]: one["spec"]["predictor"]["model"]["storageUri"]
        for one in of_kind(documents, "InferenceService")
    }

    assert uris == {name: f"s3://models/{name}/untrained" for name in uris}
    assert not [
        one for one in of_kind(documents, "ConfigMap") if one["metadata"]["name"] == "versions"
    ]


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda path: path.name)
def test_a_serving_component_changes_what_it_is_for(component: Path, tmp_path: Path) -> None:
    """Each applies to the overlay of one machine, which has none of them, and leaves a trace."""
    base = ROOT / "kserve" / "overlays" / "local"

    assert with_component(tmp_path, base, component) != rendered(base)


@pytest.mark.parametrize("component", JOB_COMPONENTS, ids=lambda path: path.name)
def test_a_training_component_changes_the_job(component: Path, tmp_path: Path) -> None:
    """And keeps what the base says: its secret, its limits, its volume for /tmp."""
    model = {"multinli": "nli"}.get(component.name, "iris")
    base = ROOT / "training" / "jobs" / model
    (plain,) = of_kind(rendered(base), "Job")
    (changed,) = of_kind(with_component(tmp_path, base, component), "Job")
    before, after = (one["spec"]["template"]["spec"] for one in (plain, changed))

    assert changed != plain
    assert after["containers"][0]["envFrom"] == before["containers"][0]["envFrom"]
    limits = after["containers"][0]["resources"]["limits"]
    assert before["containers"][0]["resources"]["limits"].items() <= limits.items()
    assert before["volumes"][0] in after["volumes"]


def test_production_keeps_a_replica_while_one_goes() -> None:
    """Two of each stable Deployment; each model has a budget that lets one be away at a time."""
    documents = rendered(ROOT / "kserve" / "overlays" / "production")
    least = {
        one["metadata"]["name"]: one["spec"]["minReplicaCount"]
        for one in of_kind(documents, "ScaledObject")
    }
    budgets = of_kind(documents, "PodDisruptionBudget")
    pods = [one["spec"]["selector"]["matchLabels"] for one in budgets]

    assert set(least.values()) == {2}
    assert {one["spec"]["maxUnavailable"] for one in budgets} == {1}
    assert [f"{one['serving.kserve.io/inferenceservice']}-predictor" for one in pods] == list(least)


def selects(selector: Document, labels: dict[str, str]) -> bool:
    """Whether a label selector means a pod with these labels."""
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        term["key"] in labels
        and (term["operator"] == "Exists" or labels[term["key"]] in term["values"])
        for term in selector.get("matchExpressions", ())
    )


def reaches(policies: list[Document], labels: dict[str, str]) -> set[tuple[str, int]]:
    """(namespace or own pods' name, port) that may reach a pod of `models` with these labels."""
    allowed = set()
    for policy in policies:
        if selects(policy["spec"]["podSelector"], labels):
            for rule in policy["spec"].get("ingress", ()):
                for peer in rule["from"]:
                    ((_, selector),) = peer.items()
                    (name,) = selector["matchLabels"].values()
                    allowed |= {(name, port["port"]) for port in rule["ports"]}
    return allowed


def test_only_gateway_and_prometheus_reach_predictors() -> None:
    """The gateway and its stand-in V2, Prometheus the metrics; nobody a Job; nothing else."""
    documents = rendered(ROOT / "kserve" / "overlays" / "production")
    policies = of_kind(documents, "NetworkPolicy")
    predictor = {"serving.kserve.io/inferenceservice": "iris", "component": "predictor"}

    assert reaches(policies, predictor) == {
        ("activator", 8080),
        ("activator", 8081),
        ("envoy-gateway-system", 8080),
        ("envoy-gateway-system", 8081),
        ("monitoring", 8082),
    }
    assert reaches(policies, {"app.kubernetes.io/component": "training"}) == set()
    assert any(
        one["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} for one in policies
    )


def test_stable_models_may_sleep_and_canaries_not(tmp_path: Path) -> None:
    """The component lets KEDA go to 0, and changes no query: what is held counts under its name."""
    base = ROOT / "kserve" / "overlays" / "production"
    component = ROOT / "kserve" / "components" / "scale-to-zero"
    awake = {one["metadata"]["name"]: one for one in of_kind(rendered(base), "ScaledObject")}
    documents = with_component(tmp_path, base, component)

    for scaled in of_kind(documents, "ScaledObject"):
        name = scaled["metadata"]["name"]
        assert scaled["spec"]["minReplicaCount"] == 0
        assert scaled["spec"]["triggers"] == awake[name]["spec"]["triggers"]
        assert scaled["spec"]["fallback"] == awake[name]["spec"]["fallback"]


def test_the_activator_may_do_what_it_does_and_no_more(tmp_path: Path) -> None:
    """It reads, publishes EndpointSlices, and is reached by the gateway and Prometheus alone."""
    base = ROOT / "kserve" / "overlays" / "production"
    documents = with_component(tmp_path, base, ROOT / "kserve" / "components" / "scale-to-zero")
    (role,) = of_kind(documents, "Role")
    writes = {
        resource
        for rule in role["rules"]
        for resource in rule["resources"]
        if not set(rule["verbs"]) <= {"list", "watch"}
    }
    (deployment,) = of_kind(documents, "Deployment")
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    reached = reaches(of_kind(documents, "NetworkPolicy"), pod["metadata"]["labels"])

    assert writes == {"endpointslices"}
    assert reached == {("envoy-gateway-system", 1024), ("monitoring", 8082)}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True


def test_the_console_only_looks_and_nobody_reaches_it(tmp_path: Path) -> None:
    """It reads no Secret and writes nothing; over the network no peer may come."""
    base = ROOT / "kserve" / "overlays" / "production"
    documents = with_component(tmp_path, base, ROOT / "kserve" / "components" / "console")
    (role,) = of_kind(documents, "Role")
    (deployment,) = of_kind(documents, "Deployment")
    (service,) = of_kind(documents, "Service")
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    policies = of_kind(documents, "NetworkPolicy")
    predictor = {"serving.kserve.io/inferenceservice": "iris", "component": "predictor"}

    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list"}
    assert not any("secrets" in rule["resources"] for rule in role["rules"])
    assert "--read-only" in container["args"]
    assert reaches(policies, pod["metadata"]["labels"]) == set()
    assert ("console", 8080) in reaches(policies, predictor)
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert "livenessProbe" not in container


def test_the_consoles_account_may_read_what_its_pages_ask_for() -> None:
    """Every kind that its sources name, by the verb that they use, and no other."""
    (role,) = of_kind(rendered(ROOT / "kserve" / "components" / "console"), "Role")
    allowed = {
        (verb, kind)
        for rule in role["rules"]
        for kind in rule["resources"]
        for verb in rule["verbs"]
    }
    sources = "".join(path.read_text("utf-8") for path in CONSOLE.rglob("*.py"))
    asked = set(re.findall(r'cluster\.(get|list)\(\s*"(\w+)"', sources))

    assert asked | {("list", kind) for kind in live.KINDS} == allowed - {("get", "pods/log")}


def test_predictors_read_and_jobs_write() -> None:
    """Each mounts its own secret, and predictors no account of the Kubernetes API."""
    documents = rendered(ROOT / "kserve" / "overlays" / "production")
    (account,) = of_kind(documents, "ServiceAccount")
    (job,) = of_kind(rendered(ROOT / "training" / "jobs" / "iris"), "Job")

    assert account["secrets"] == [{"name": "s3"}]
    assert account["automountServiceAccountToken"] is False
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "s3-writer"}}]


def test_the_label_that_scaling_asks_for_is_made() -> None:
    """The PodMonitor turns app=isvc.<Deployment> into `deployment`, which each query names."""
    documents = rendered(ROOT / "kserve" / "overlays" / "production")
    (monitor,) = of_kind(documents, "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    made = {rule["targetLabel"] for rule in endpoint["relabelings"]}

    assert {"deployment", "inferenceservice", "__address__"} == made
    for scaled in of_kind(documents, "ScaledObject"):
        target = scaled["spec"]["scaleTargetRef"]["name"]
        (trigger,) = scaled["spec"]["triggers"]
        assert f'deployment="{target}"' in trigger["metadata"]["query"]
        assert scaled["metadata"]["name"] == target


def test_versions_of_others_are_those_of_versions_env() -> None:
    """Manifests repeat a few, since kubectl knows no variables."""
    pinned = versions()
    (minio,) = of_kind(rendered(ROOT / "kserve" / "storage" / "minio"), "Deployment")
    (prometheus,) = of_kind(rendered(ROOT / "monitoring" / "prometheus"), "Prometheus")
    job = yaml.safe_load((ROOT / "kserve/components/model-cache/job.yaml").read_text())
    image = minio["spec"]["template"]["spec"]["containers"][0]["image"]

    assert image == f"quay.io/minio/minio:{pinned['MINIO_VERSION']}"
    assert prometheus["spec"]["version"] == pinned["PROMETHEUS_VERSION"]
    (copy,) = job["spec"]["template"]["spec"]["containers"]
    assert copy["image"].rpartition(":")[2] == pinned["KSERVE_VERSION"]


@pytest.mark.parametrize(
    ("component", "kind"),
    [("api-keys", "SecurityPolicy"), ("rate-limits", "BackendTrafficPolicy")],
)
def test_a_policy_of_models_fits_the_crd(
    tmp_path: Path, schemas: dict[tuple[str, str], dict[str, Any]], component: str, kind: str
) -> None:
    """Envoy Gateway has its fields; it selects every model's routes, and a rollout's mirrors."""
    base, path = ROOT / "kserve" / "overlays" / "local", ROOT / "kserve" / "components" / component
    documents = with_component(tmp_path, base, path)
    (policy,) = (
        one for one in of_kind(documents, kind) if one["metadata"]["namespace"] == "models"
    )
    jsonschema.Draft202012Validator(schemas[kind, "v1alpha1"]).validate(policy)

    (selector,) = policy["spec"]["targetSelectors"]
    services = of_kind(documents, "InferenceService")
    empty: Document = {"spec": {"parentRefs": [], "hostnames": [], "rules": []}}
    made = {**services[0], "metadata": {**services[0]["metadata"], "uid": "0"}}
    mirror = mirror_route(made, empty, "", "")
    for one in (*services, mirror):
        assert selector["matchLabels"].items() <= one["metadata"]["labels"].items()


def test_rates_are_counted_by_the_header_that_the_keys_write() -> None:
    """The two components go together without a patch; the Gateway's own policy stays in force."""
    (keys,), (limits,) = (
        of_kind(rendered(ROOT / "kserve" / "components" / name), kind)
        for name, kind in (("api-keys", "SecurityPolicy"), ("rate-limits", "BackendTrafficPolicy"))
    )
    (rule,) = limits["spec"]["rateLimit"]["local"]["rules"]
    (header,) = rule["clientSelectors"][0]["headers"]
    assert header["name"] == keys["spec"]["apiKeyAuth"]["forwardClientIDHeader"]
    assert limits["spec"]["mergeType"] == "StrategicMerge"


@pytest.mark.parametrize(
    ("name", "described"),
    [("SecurityPolicy", "apiKeyAuth"), ("BackendTrafficPolicy", "rateLimit")],
)
def test_the_laptops_schema_of_a_policy_is_the_clusters(
    schemas: dict[tuple[str, str], dict[str, Any]], name: str, described: str
) -> None:
    """What the laptop does not refuse whole is described as Envoy Gateway describes it."""
    (kind,) = (one for one in KINDS if one.name == name)
    ours = schema_of(kind)["properties"]["spec"]["properties"]
    theirs = schemas[name, "v1alpha1"]["properties"]["spec"]["properties"]
    assert ours.keys() == theirs.keys()
    for field in (described, "targetRef", "targetRefs", "targetSelectors"):
        assert without_global(strict(ours[field])) == without_global(bare(theirs[field]))


def without_global(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without the limits that need a service of their own."""
    properties = {**schema.get("properties", {})}
    properties.pop("global", None)
    return {**schema, "properties": properties}


def bare(schema: Any) -> Any:
    """A schema without its descriptions."""
    if isinstance(schema, list):
        return [bare(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: bare(value)
        for key, value in schema.items()
        if key != "description" or not isinstance(value, str)
    }
