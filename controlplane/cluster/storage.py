"""The S3 store's keys in the cluster: a pair that writes, for Jobs, one that reads, for predictors.

Secret `s3` has the shape that KServe's storage initializer wants (keys, and annotations that say
where), `s3-writer` what training/publish/registry.py reads from its environment. A third pair,
Secret `s3-replica`, is for predictors that follow a channel: they read, and write their reports.
"""

import base64
import secrets
from urllib.parse import urlsplit

from minio import Minio, MinioAdmin
from minio.credentials.providers import StaticProvider
from urllib3 import PoolManager, Retry, Timeout

from controlplane.cluster.kubectl import Document, Kubectl
from controlplane.errors import SerinError

BUCKET = "models"
MINIO_URL = "http://minio.minio:9000"
_READER, _WRITER, _REPLICA = "serin-reader", "serin-writer", "serin-replica"
_PAIR = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
_HTTP = Timeout(connect=5, read=30)
_OBJECTS, _WHOLE = f"arn:aws:s3:::{BUCKET}/*", f"arn:aws:s3:::{BUCKET}"
_MAY_READ = ("s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation")
_MAY_WRITE = (*_MAY_READ, "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
_REPORTS = f"{_OBJECTS}/channels/*/replicas/*"


class KeysError(SerinError):
    """The environment does not hold the keys of the S3 store that --s3 names."""


def root_secret(kubectl: Kubectl) -> Document:
    """MinIO's own account, its password made once."""
    known = _known(kubectl, "root", "minio")
    password = known.get("MINIO_ROOT_PASSWORD") or secrets.token_hex(20)
    return _secret("root", "minio", {"MINIO_ROOT_USER": "root", "MINIO_ROOT_PASSWORD": password})


def own_store(kubectl: Kubectl) -> list[Document]:
    """Make MinIO's bucket and its three users; the secrets that hold their keys."""
    passwords = {
        _READER: _known(kubectl, "s3", "models").get("AWS_SECRET_ACCESS_KEY"),
        _WRITER: _known(kubectl, "s3-writer", "models").get("AWS_SECRET_ACCESS_KEY"),
        _REPLICA: _known(kubectl, "s3-replica", "models").get("AWS_SECRET_ACCESS_KEY"),
    }
    keys = {user: password or secrets.token_hex(20) for user, password in passwords.items()}
    root = _known(kubectl, "root", "minio")
    with kubectl.forward("minio", "service/minio", 9000) as port:
        endpoint, user = f"127.0.0.1:{port}", root["MINIO_ROOT_USER"]
        pool = PoolManager(timeout=_HTTP, retries=Retry(total=5, backoff_factor=0.2))
        store = Minio(
            endpoint=endpoint,
            access_key=user,
            secret_key=root["MINIO_ROOT_PASSWORD"],
            secure=False,
            http_client=pool,
        )
        if not store.bucket_exists(bucket_name=BUCKET):
            store.make_bucket(bucket_name=BUCKET)
        admin = MinioAdmin(
            endpoint=endpoint,
            credentials=StaticProvider(user, root["MINIO_ROOT_PASSWORD"]),
            secure=False,
            http_client=pool,
        )
        reads, writes = _allowed(_MAY_READ), _allowed(_MAY_WRITE)
        reports = _allowed(("s3:PutObject",), _REPORTS)
        for name, may in ((_READER, [reads]), (_WRITER, [writes]), (_REPLICA, [reads, reports])):
            admin.user_add(name, keys[name])
            admin.policy_add(name, policy={"Version": "2012-10-17", "Statement": may})
            admin.policy_set(name, user=name)
    reader, writer, replica = ((name, keys[name]) for name in (_READER, _WRITER, _REPLICA))
    return pod_secrets(MINIO_URL, reader, writer, replica)


def pod_secrets(
    url: str,
    reader: tuple[str, str],
    writer: tuple[str, str],
    replica: tuple[str, str] | None = None,
    region: str = "us-east-1",
) -> list[Document]:
    """The secrets of the namespace `models`; keys are (id, secret)."""
    parts = urlsplit(url)
    annotations = {
        "serving.kserve.io/s3-endpoint": parts.netloc,
        "serving.kserve.io/s3-usehttps": "1" if parts.scheme == "https" else "0",
        "serving.kserve.io/s3-region": region,
    }
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    reads = dict(zip(names, reader, strict=True)) | {"AWS_ENDPOINT_URL": url}
    where = {"SERIN_S3_ENDPOINT": url, "AWS_REGION": region}
    made = [_secret("s3", "models", reads, annotations)]
    for name, pair in (("s3-writer", writer), ("s3-replica", replica)):
        if pair is not None:
            made.append(_secret(name, "models", dict(zip(names, pair, strict=True)) | where))
    return made


def foreign_store(url: str, environment: dict[str, str]) -> list[Document]:
    """The secrets for a store that is there, from the keys in the environment.

    SERIN_S3_REPLICA_ACCESS_KEY_ID and SERIN_S3_REPLICA_SECRET_ACCESS_KEY are for models that follow
    channels, and may be missing.

    Raises:
        KeysError: a key is missing.
    """
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
        raise KeysError(f"--s3: expected https://HOST or http://HOST:PORT, got {url!r}")
    writer = _pair(environment, "")
    if writer is None:
        raise KeysError(
            f"--s3 {url}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which may write "
            f"s3://{BUCKET}, and SERIN_S3_READER_ACCESS_KEY_ID and "
            "SERIN_S3_READER_SECRET_ACCESS_KEY, which may only read it"
        )
    reader = _pair(environment, "SERIN_S3_READER_")
    if reader is None:
        raise KeysError(
            "SERIN_S3_READER_ACCESS_KEY_ID and SERIN_S3_READER_SECRET_ACCESS_KEY are not set: "
            "predictors get keys that only read"
        )
    replica = _pair(environment, "SERIN_S3_REPLICA_")
    if replica is None and any(environment.get(f"SERIN_S3_REPLICA_{part}") for part in _PAIR):
        raise KeysError(
            "set both SERIN_S3_REPLICA_ACCESS_KEY_ID and SERIN_S3_REPLICA_SECRET_ACCESS_KEY, or "
            "neither where no model follows a channel"
        )
    return pod_secrets(url, reader, writer, replica, environment.get("AWS_REGION") or "us-east-1")


def _pair(environment: dict[str, str], prefix: str) -> tuple[str, str] | None:
    prefix = prefix or "AWS_"
    names = [f"{prefix}{part}" for part in _PAIR]
    found = [environment[name] for name in names if environment.get(name)]
    return (found[0], found[1]) if len(found) == len(names) else None


def _allowed(actions: tuple[str, ...], *resources: str) -> Document:
    """A statement of a policy: what may be done with some objects, or with all and the bucket."""
    where = list(resources) or [_WHOLE, _OBJECTS]
    return {"Effect": "Allow", "Action": list(actions), "Resource": where}


def _known(kubectl: Kubectl, name: str, namespace: str) -> dict[str, str]:
    """A secret's values, none where there is no such secret."""
    found = kubectl.get("secret", name, "-n", namespace)
    data = (found or {}).get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def _secret(
    name: str,
    namespace: str,
    values: dict[str, str],
    annotations: dict[str, str] | None = None,
) -> Document:
    metadata: Document = {
        "name": name,
        "namespace": namespace,
        "labels": {"app.kubernetes.io/part-of": "serin"},
    }
    if annotations:
        metadata["annotations"] = annotations
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "data": data,
    }
