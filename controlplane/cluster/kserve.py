"""KServe's release manifest as Serin needs it: Standard mode, Gateway API, a certificate."""

import base64
import datetime as dt
import json
from collections.abc import Mapping, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from controlplane.cluster import releases
from controlplane.cluster.kubectl import Document, Kubectl

NAMESPACE = "kserve"
GATEWAY = "kserve/kserve-ingress-gateway"
FIRST_WITH_WEIGHTS = (0, 21)
_SECRET = "kserve-webhook-server-cert"  # noqa: S105 - its name
_HOST = "kserve-webhook-server-service.kserve.svc"
_YEARS = 10
_RESTRICTED = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What Kubernetes' pod security standard `restricted` asks of a container."""


def adapt(documents: Sequence[Document], domain: str, ca: str | None) -> list[Document]:
    """The release's objects with our settings.

    Args:
        documents: kserve.yaml.
        domain: models are served at <model>-<namespace>.<domain>.
        ca: the webhook's CA, base64 of PEM; None leaves certificates to cert-manager.
    """
    adapted = []
    for document in json.loads(json.dumps(list(documents))):
        kind, name = document["kind"], document["metadata"]["name"]
        if ca is not None:
            if kind in {"Certificate", "Issuer"} or (kind, name) == ("Secret", _SECRET):
                continue
            _trust(document, ca)
        if (kind, name) == ("ConfigMap", "inferenceservice-config"):
            _configure(document["data"], domain)
        if kind == "ClusterStorageContainer":
            container = document["spec"]["container"]
            container["securityContext"] = container.get("securityContext") or _RESTRICTED
        adapted.append(document)
    kinds = {document["kind"] for document in adapted}
    if "CustomResourceDefinition" in kinds and "ClusterStorageContainer" not in kinds:
        adapted.append(_storage_container(adapted))
    return adapted


def _storage_container(documents: Sequence[Document]) -> Document:
    """How models are downloaded, where a release leaves that to another file of its own.

    KServe's built-in way has no securityContext.
    """
    image = ""
    for document in documents:
        if document["metadata"]["name"] == "inferenceservice-config":
            image = json.loads(document["data"].get("storageInitializer", "{}")).get("image", "")
    version = releases.versions()[releases.KSERVE.variable]
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ClusterStorageContainer",
        "metadata": {"name": "default"},
        "spec": {
            "container": {
                "name": "storage-initializer",
                "image": image or f"kserve/storage-initializer:{version}",
                "resources": {
                    "requests": {"cpu": "100m", "memory": "100Mi"},
                    "limits": {"cpu": "1", "memory": "1Gi"},
                },
                "securityContext": _RESTRICTED,
            },
            "supportedUriFormats": [{"prefix": "s3://"}],
            "workloadType": "initContainer",
        },
    }


def _configure(data: dict[str, str], domain: str) -> None:
    ingress = json.loads(data["ingress"])
    ingress.update(
        enableGatewayApi=True,
        kserveIngressGateway=GATEWAY,
        disableIstioVirtualHost=True,
        ingressDomain=domain,
    )
    deploy = json.loads(data.get("deploy", "{}"))
    deploy.update(defaultDeploymentMode="Standard")
    data.update(ingress=json.dumps(ingress), deploy=json.dumps(deploy))


def _trust(document: Document, ca: str) -> None:
    """Put the CA where cert-manager would have put its own."""
    (document["metadata"].get("annotations") or {}).pop("cert-manager.io/inject-ca-from", None)
    for webhook in document.get("webhooks", ()):
        webhook["clientConfig"]["caBundle"] = ca
    if document["kind"] == "CustomResourceDefinition":
        webhook = document["spec"].get("conversion", {}).get("webhook", {})
        if "clientConfig" in webhook:
            webhook["clientConfig"]["caBundle"] = ca


def certificate(kubectl: Kubectl, *, make: bool) -> str:
    """The CA of the webhook's certificate, which is made once.

    Returns:
        base64 of PEM, as `caBundle` wants it; empty where there is none and it is not to be made.
    """
    found = kubectl.get("secret", _SECRET, "-n", NAMESPACE)
    if found is None and not make:
        return ""
    if found is None:
        kubectl.apply(
            [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
                _issue(),
            ]
        )
        found = kubectl.get("secret", _SECRET, "-n", NAMESPACE)
    assert found is not None  # noqa: S101 - just applied
    ca: str = found["data"]["ca.crt"]
    return ca


def _issue() -> Document:
    """A CA and the certificate of the webhook's Service, as a TLS secret."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = _name("kserve-webhook-ca")
    ca = (
        _builder(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    leaf = (
        _builder(_name(_HOST), ca_name, key)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_HOST)]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    data = {
        "ca.crt": ca.public_bytes(pem),
        "tls.crt": leaf.public_bytes(pem),
        "tls.key": secret,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": _SECRET, "namespace": NAMESPACE},
        "type": "kubernetes.io/tls",
        "data": {name: base64.b64encode(value).decode() for name, value in data.items()},
    }


def _name(common: str) -> x509.Name:
    # A common name holds 64 characters at most.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=365 * _YEARS))
    )


def complaints(
    controller: Document, config: Document | None, storages: Sequence[Document] | None = None
) -> list[str]:
    """What of an installed KServe does not suit Serin, one sentence each.

    Args:
        controller: the Deployment kserve-controller-manager.
        config: the ConfigMap inferenceservice-config.
        storages: the ClusterStorageContainers, which say how models are downloaded; None for
            not looked at.
    """
    found = []
    containers = controller["spec"]["template"]["spec"]["containers"]
    image = next((c["image"] for c in containers if "kserve-controller" in c["image"]), "")
    tag = image.rpartition(":")[2]
    version = _version(tag)
    if version is not None and version < FIRST_WITH_WEIGHTS:
        found.append(
            f"KServe {tag} starts canaries but sends them no requests: HTTPRoutes carry weights "
            "from v0.21 on. All else works."
        )
    data: Mapping[str, str] = (config or {}).get("data", {})
    if not json.loads(data.get("ingress", "{}")).get("enableGatewayApi"):
        found.append(
            "KServe's ConfigMap inferenceservice-config has enableGatewayApi off: no HTTPRoute "
            "will be made. Set it, with kserveIngressGateway " + GATEWAY + "."
        )
    if storages is not None and not any(_is_restricted(storage) for storage in storages):
        found.append(
            "KServe has no ClusterStorageContainer with a securityContext: namespace models, whose "
            "pod security is `restricted`, refuses the pods that it downloads models for. Set "
            f"spec.container.securityContext of one to {json.dumps(_RESTRICTED)}."
        )
    return found


def _is_restricted(storage: Document) -> bool:
    return bool(storage["spec"]["container"].get("securityContext"))


def _version(tag: str) -> tuple[int, int] | None:
    parts = tag.removeprefix("v").split(".")
    if len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
        return None
    return int(parts[0]), int(parts[1])
