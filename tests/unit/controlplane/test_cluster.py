"""setup_cluster.sh's own decisions, without a cluster."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from controlplane.cluster import __main__ as setup_cluster
from controlplane.cluster import kserve, models, releases, storage
from controlplane.cluster.images import asked_for
from controlplane.cluster.kubectl import ClusterError, Kubectl, wait_until
from controlplane.cluster.records import digest

VERSIONS_OF = releases.versions
CONFIG = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "inferenceservice-config"},
    "data": {"ingress": '{"enableGatewayApi": false, "urlScheme": "http"}', "deploy": "{}"},
}
WEBHOOK = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingWebhookConfiguration",
    "metadata": {"name": "w", "annotations": {"cert-manager.io/inject-ca-from": "kserve/x"}},
    "webhooks": [{"clientConfig": {"service": {}}}, {"clientConfig": {}}],
}
ISSUER = {"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "self"}}


def controller(tag: str) -> dict[str, Any]:
    """KServe's controller at a version."""
    containers = [{"image": f"kserve/kserve-controller:{tag}"}]
    return {"kind": "Deployment", "spec": {"template": {"spec": {"containers": containers}}}}


def test_kserve_without_cert_manager_trusts_our_ca() -> None:
    """Every webhook gets the CA, and what only cert-manager understands is left out."""
    adapted = kserve.adapt([CONFIG, WEBHOOK, ISSUER], "example.com", "Q0E=")
    webhook = next(one for one in adapted if one["kind"] == WEBHOOK["kind"])

    assert [one["kind"] for one in adapted] == ["ConfigMap", WEBHOOK["kind"]]
    assert [one["clientConfig"]["caBundle"] for one in webhook["webhooks"]] == ["Q0E=", "Q0E="]
    assert webhook["metadata"]["annotations"] == {}


def test_kserve_with_cert_manager_keeps_its_certificates() -> None:
    """Nothing of theirs changes but the settings."""
    adapted = kserve.adapt([CONFIG, WEBHOOK, ISSUER], "example.com", None)

    assert adapted[1:] == [WEBHOOK, ISSUER]


def test_kserve_runs_in_standard_mode_behind_our_gateway() -> None:
    """What it says of its own stays beside what we set."""
    (config,) = kserve.adapt([CONFIG], "example.com", None)
    ingress = json.loads(config["data"]["ingress"])

    assert json.loads(config["data"]["deploy"]) == {"defaultDeploymentMode": "Standard"}
    assert ingress["enableGatewayApi"] is True
    assert ingress["ingressDomain"] == "example.com"
    assert ingress["urlScheme"] == "http"


def test_webhook_certificate_is_for_its_service() -> None:
    """The leaf names the Service, and the CA signed it."""
    secret = kserve._issue()
    ca, leaf = (
        x509.load_pem_x509_certificate(base64.b64decode(secret["data"][name]))
        for name in ("ca.crt", "tls.crt")
    )
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    leaf.verify_directly_issued_by(ca)
    assert names.get_values_for_type(x509.DNSName) == ["kserve-webhook-server-service.kserve.svc"]


@pytest.mark.parametrize(
    ("tag", "warned"), [("v0.20.0", True), ("v0.21.0", False), ("v1.0.0", False), ("latest", False)]
)
def test_kserve_before_weights_is_warned_of(tag: str, warned: bool) -> None:
    """Below 0.21 a canary gets no requests; the warning says so."""
    on = {"data": {"ingress": '{"enableGatewayApi": true}'}}
    found = kserve.complaints(controller(tag), on)

    assert bool(found) == warned
    assert all("canaries" in one for one in found)


def test_foreign_kserve_whose_downloader_is_not_restricted_is_warned_of() -> None:
    """Namespace models would refuse its pods; ours gets what it needs."""
    storage_container = {
        "kind": "ClusterStorageContainer",
        "metadata": {"name": "default"},
        "spec": {"container": {"name": "storage-initializer"}},
    }
    on = {"data": {"ingress": '{"enableGatewayApi": true}'}}
    (complaint,) = kserve.complaints(controller("v0.21.0"), on, [storage_container])
    (ours,) = kserve.adapt([storage_container], "example.com", None)

    assert "securityContext" in complaint
    assert kserve.complaints(controller("v0.21.0"), on, [ours]) == []
    assert len(kserve.complaints(controller("v0.21.0"), on, [])) == 1


def test_a_release_without_a_downloader_gets_one_that_namespace_models_takes() -> None:
    """KServe's built-in one has no securityContext; the image stays the release's."""
    definition = {"kind": "CustomResourceDefinition", "metadata": {"name": "x"}, "spec": {}}
    data = {"ingress": "{}", "storageInitializer": '{"image": "i:v1"}'}
    config = {**CONFIG, "data": data}
    *_, made = kserve.adapt([definition, config], "example.com", None)

    assert made["kind"] == "ClusterStorageContainer"
    assert made["spec"]["container"]["image"] == "i:v1"
    assert made["spec"]["container"]["securityContext"]["runAsNonRoot"]


def test_images_are_told_in_full_and_templates_of_definitions_are_not() -> None:
    """With their registry, those of containers, of operators' arguments and of Prometheus."""
    pods = {"containers": [{"image": "kserve/x:v1", "args": ["--reloader=quay.io/a/b:v2"]}]}
    deployment = {"kind": "Deployment", "spec": {"template": {"spec": pods}}}
    definition = {"kind": "CustomResourceDefinition", "spec": {"image": "not/this:v1"}}
    prometheus = {"kind": "Prometheus", "spec": {"version": "v3.1.0"}}
    told = list(asked_for([deployment, definition, prometheus]))

    assert told == [
        "docker.io/kserve/x:v1",
        "quay.io/a/b:v2",
        "quay.io/prometheus/prometheus:v3.1.0",
    ]


def test_foreign_kserve_without_gateway_api_is_warned_of() -> None:
    """It would make no routes."""
    (complaint,) = kserve.complaints(controller("v0.21.0"), CONFIG)

    assert "enableGatewayApi" in complaint


def test_a_release_is_pinned_by_its_first_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so; the next download must be the same; a dry run writes nothing."""
    path = tmp_path / "versions.env"
    path.write_text("KEDA_VERSION=2.20.2\n")
    monkeypatch.setattr(releases, "VERSIONS", path)
    monkeypatch.setattr(releases, "versions", lambda: VERSIONS_OF(path))
    monkeypatch.setattr(releases, "fetch", lambda _url: b"kind: Namespace")
    told = list[str]()

    releases.load(releases.KEDA, None, told.append, write=False)
    assert path.read_text() == "KEDA_VERSION=2.20.2\n"
    assert releases.load(releases.KEDA, None, told.append) == [{"kind": "Namespace"}]
    assert len(VERSIONS_OF(path)["KEDA_MANIFEST_SHA256"]) == 64
    assert "KEDA_MANIFEST_SHA256 in versions.env" in told[0]
    assert releases.load(releases.KEDA, None, told.append)
    assert len(told) == 1
    monkeypatch.setattr(releases, "fetch", lambda _url: b"kind: Secret")
    with pytest.raises(ClusterError, match="not what was pinned"):
        releases.load(releases.KEDA, None, told.append)


def test_a_release_that_cannot_be_reached_names_the_way_without() -> None:
    """One sentence with the URL, one with what to do."""
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1.*cannot be fetched.*--manifests DIR"):
        releases.fetch("http://127.0.0.1:1/keda.yaml")


def test_changed_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was pinned is what is installed."""
    pinned = {"KEDA_VERSION": "2.20.2", "KEDA_MANIFEST_SHA256": "0" * 64}
    monkeypatch.setattr(releases, "versions", lambda: pinned)
    monkeypatch.setattr(releases, "fetch", lambda _url: b"kind: Namespace")

    with pytest.raises(ClusterError, match="not what was pinned"):
        releases.load(releases.KEDA, None, print)


def test_pinning_replaces_hashes_and_keeps_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comments and versions stay; a second pin writes the same file."""
    path = tmp_path / "versions.env"
    path.write_text(releases.VERSIONS.read_text())
    monkeypatch.setattr(releases, "fetch", lambda url: url.encode())

    releases.pin_all(path)
    once = path.read_text()
    releases.pin_all(path)

    assert path.read_text() == once
    assert once.startswith(releases.VERSIONS.read_text().splitlines()[0])
    assert len(releases.versions(path)["KEDA_MANIFEST_SHA256"]) == 64


def test_a_folder_that_lacks_a_release_is_named(tmp_path: Path) -> None:
    """An air-gapped installation says which file it misses."""
    with pytest.raises(ClusterError, match=r"holds no keda\.yaml"):
        releases.load(releases.KEDA, tmp_path, print)


def test_a_foreign_store_needs_two_pairs_of_keys() -> None:
    """Predictors never get the keys that write."""
    writer = {"AWS_ACCESS_KEY_ID": "w", "AWS_SECRET_ACCESS_KEY": "ws"}
    reader = {"SERIN_S3_READER_ACCESS_KEY_ID": "r", "SERIN_S3_READER_SECRET_ACCESS_KEY": "rs"}
    with pytest.raises(storage.KeysError, match="SERIN_S3_READER"):
        storage.foreign_store("https://s3.example.com", writer)
    read, write = storage.foreign_store("https://s3.example.com", writer | reader)

    assert base64.b64decode(read["data"]["AWS_ACCESS_KEY_ID"]) == b"r"
    assert read["metadata"]["annotations"]["serving.kserve.io/s3-usehttps"] == "1"
    assert base64.b64decode(write["data"]["AWS_ACCESS_KEY_ID"]) == b"w"
    assert base64.b64decode(write["data"]["SERIN_S3_ENDPOINT"]) == b"https://s3.example.com"


def test_a_foreign_store_may_have_keys_for_replicas_of_channels() -> None:
    """A third pair, for predictors that report what they serve; half of it is refused."""
    environment = {
        f"{prefix}_{part}": f"{prefix}{part}"
        for prefix in ("AWS", "SERIN_S3_READER", "SERIN_S3_REPLICA")
        for part in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
    }
    half = {
        name: key
        for name, key in environment.items()
        if name != "SERIN_S3_REPLICA_SECRET_ACCESS_KEY"
    }
    with pytest.raises(storage.KeysError, match="set both SERIN_S3_REPLICA_ACCESS_KEY_ID and"):
        storage.foreign_store("https://s3.example.com", half)
    replica = storage.foreign_store("https://s3.example.com", environment)[-1]

    assert replica["metadata"]["name"] == "s3-replica"
    assert (
        base64.b64decode(replica["data"]["AWS_ACCESS_KEY_ID"]) == b"SERIN_S3_REPLICAACCESS_KEY_ID"
    )
    assert base64.b64decode(replica["data"]["SERIN_S3_ENDPOINT"]) == b"https://s3.example.com"


def test_a_new_password_is_no_change_and_a_new_image_is() -> None:
    """The record must not make a second run apply everything again."""
    secret = {"kind": "Secret", "metadata": {"name": "root"}, "data": {"password": "YQ=="}}
    other = {**secret, "data": {"password": "Yg=="}}

    assert digest([secret]) == digest([other])
    assert digest([controller("v1")]) != digest([controller("v2")])


def test_a_deadline_names_what_it_waited_for_and_why() -> None:
    """The message is what a person reads first."""
    with pytest.raises(ClusterError, match=r"waited 0 s for iris to be ready\. Its image is gone"):
        wait_until("iris to be ready", 0, lambda: False, lambda: "Its image is gone.")


def test_a_kubectl_that_knows_no_strict_validation_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before anything is applied, with what to do."""
    known = {"clientVersion": {"minor": "20+", "gitVersion": "v1.20.2"}}
    monkeypatch.setattr(Kubectl, "run", lambda *_: json.dumps(known))

    Kubectl(None).require(20)
    with pytest.raises(ClusterError, match=r"kubectl is v1\.20\.2: install 1\.25 or newer"):
        Kubectl(None).require(25)


@pytest.mark.parametrize(
    ("named", "written", "serving", "chosen", "remembered"),
    [
        ((), "", (), ["a", "b", "c"], "all"),
        (("b",), "", (), ["b"], "b"),
        ((), "b", ("b",), ["b"], "b"),
        (("c",), "b", ("b",), ["b", "c"], "b,c"),
        (("c",), "b", (), ["c"], "c"),  # b was asked for, and never came
        (("all",), "b", ("b",), ["a", "b", "c"], "all"),
        ((), "all", ("a",), ["a", "b", "c"], "all"),
        (("c",), "all", ("a",), ["a", "c"], "a,c"),
    ],
)
def test_a_later_run_serves_what_was_chosen(
    named: tuple[str, ...],
    written: str,
    serving: tuple[str, ...],
    chosen: list[str],
    remembered: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Named models join those that serve; without a name it is as before; first it is all."""
    kept = {"models": written} if written else {}
    services = [{"metadata": {"name": name}} for name in serving]
    monkeypatch.setattr(setup_cluster, "record", lambda _kubectl: dict(kept))
    monkeypatch.setattr(
        setup_cluster, "remember", lambda _kubectl, key, value: kept.update({key: value})
    )
    monkeypatch.setattr(Kubectl, "items", lambda *_: services)

    found = setup_cluster._remembered(Kubectl(None), named, ["a", "b", "c"], dry_run=False)
    assert found == chosen
    assert kept == {"models": remembered}


def test_changed_scaling_reaches_served_models_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a deployment of new images does; once, so that what a rollout changes stays."""
    live = {"spec": {"predictor": {"model": {"storageUri": "s3://models/a/0123456789ab"}}}}
    there = {("inferenceservice", "a"): live, ("scaledobject", "a-predictor"): {}}
    kept, applied = dict[str, str](), list[str]()
    monkeypatch.setattr(models, "record", lambda _kubectl: dict(kept))
    monkeypatch.setattr(models, "remember", lambda _kubectl, key, value: kept.update({key: value}))
    monkeypatch.setattr(Kubectl, "get", lambda _self, *words: there.get(words[:2]))
    monkeypatch.setattr(
        Kubectl,
        "apply",
        lambda _self, documents: applied.extend(one["metadata"]["name"] for one in documents),
    )
    scaling = {
        name: {"kind": "ScaledObject", "metadata": {"name": f"{name}-predictor"}}
        for name in ("a", "b")
    }
    serving = models.Serving(Kubectl(None), [], scaling, lambda _name: [], print)

    serving.scale()
    serving.scale()
    assert applied == ["a-predictor"]


def test_the_laptops_kubernetes_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is installed into it, though `eval $(./serin env)` points kubectl there."""
    monkeypatch.setattr(Kubectl, "require", lambda _self, _minor: None)
    version = json.dumps({"gitVersion": "v1.33.0+serin"})
    monkeypatch.setattr(Kubectl, "run", lambda _self, *_arguments: version)

    with pytest.raises(ClusterError, match="unset KUBECONFIG"):
        setup_cluster._cluster(None, use_kind=False, dry_run=False)
