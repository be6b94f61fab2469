"""The model registry: a bucket where a version, once published, never changes.

    s3://models/<model>/<version>/{files…, MANIFEST.json}

`<version>` is the hash of MANIFEST.json, which is written last: a version without one does not
exist to anybody, and publishing again completes it. Nothing needs a lock or a conditional write
(not every S3 server has them): two publishers of one version write the same bytes.

Errors:
    RegistryError
    ├── SettingsError   SERIN_S3_ENDPOINT or AWS_* is missing or wrong
    └── StoreError      the store could not be reached, or refused
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from predictors.runtime.artifact.artifact import MANIFEST, read_artifact

BUCKET = "models"
_MODEL_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")  # a Kubernetes name: the InferenceService's
_VERSION_KEY = re.compile(r"(?P<model>[^/]+)/(?P<version>[0-9a-f]{12})/" + re.escape(MANIFEST))

_CONNECT_TIMEOUT = timedelta(seconds=5)
_REQUEST_TIMEOUT = timedelta(seconds=60)  # a 5 MiB part at 0.7 Mbit/s
_RETRIES = 4  # after about 0.1, 0.2, 0.4, 0.8 s: a store may restart
_RETRY_TIMEOUT = timedelta(seconds=120)

# Where obstore finds credentials that are not in the environment: a role of the pod.
_ROLES = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
_HINTS = {  # what a store answers → what to do about it
    "NoSuchBucket": f"create the bucket '{BUCKET}'",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY is not this store's",
    "InvalidAccessKeyId": "AWS_ACCESS_KEY_ID is not known to this store",
    "AccessDenied": "these credentials may not do that",
    "InsufficientStorage": "the store's disk is full",
    "no space left": "the store's disk is full",
    "error sending request": "nothing answers there: is the store running, is the address right?",
    "timed out": "the store is too slow, or something between drops its packets",
}


class RegistryError(Exception):
    """The registry could not do what was asked; the message says what to do about it."""


class SettingsError(RegistryError):
    """The environment does not say where the store is, or who we are."""


class StoreError(RegistryError):
    """The store could not be reached, or refused; names its endpoint."""


@dataclass(frozen=True, slots=True)
class Published:
    """One version in the registry; `created` is false where it was there, whole, already."""

    uri: str
    version: str
    created: bool


@dataclass(frozen=True, slots=True)
class Version:
    """One complete version; `published_at`: when its manifest was written, by the store's clock."""

    model: str
    version: str
    uri: str
    published_at: datetime


class Registry:
    """The bucket of models at one S3 endpoint.

    Args:
        environment: holds SERIN_S3_ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where
            it is not us-east-1, AWS_REGION.

    Raises:
        SettingsError: one of them is missing or is not what it should be.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self.endpoint = _endpoint(environment)
        self._store = _store(self.endpoint, environment)

    def publish(self, folder: Path, model: str) -> Published:
        """Publish an artifact: its files, then its manifest.

        A version that is there already is read back and compared; what is missing or damaged is
        written again, and a sound one is left as it is.

        Args:
            folder: files and MANIFEST.json, as `build_manifest` describes them.
            model: kebab-case, as its InferenceService.

        Raises:
            StoreError: safe to try again; what is half published stays invisible.
            ArtifactError: the folder's files are not what its manifest says.
            ValueError: `model` is no name, or not the manifest's; or a file is empty.
        """
        _check_name(model)
        manifest = read_artifact(folder)
        files: dict[str, dict[str, Any]] = manifest.document["files"]
        if manifest.model != model:
            raise ValueError(f"{folder} holds model '{manifest.model}', not '{model}'")
        if empty := [name for name, entry in files.items() if not entry["size_bytes"]]:
            raise ValueError(f"{empty[0]} is empty: KServe's storage initializer would skip it")
        prefix = f"{model}/{manifest.version}"
        raw = (folder / MANIFEST).read_bytes()
        with self._clear_errors(f"publish {prefix}"):
            exists = self._sha256(f"{prefix}/{MANIFEST}") == hashlib.sha256(raw).hexdigest()
            for name, entry in sorted(files.items()):
                key = f"{prefix}/{name}"
                if not (exists and self._sha256(key) == entry["sha256"]):
                    obstore.put(self._store, key, folder / name)
            if not exists:
                obstore.put(self._store, f"{prefix}/{MANIFEST}", raw)
        return Published(_uri(model, manifest.version), manifest.version, created=not exists)

    # Objects beside the versions, such as checkpoints. Each may raise StoreError.

    def put(self, key: str, body: bytes | Path) -> None:
        """Write an object, in place of the one of that key."""
        with self._clear_errors(f"write {key}"):
            obstore.put(self._store, key, body)

    def get(self, key: str) -> bytes | None:
        """An object's bytes, None where there is none."""
        with self._clear_errors(f"read {key}"), suppress(FileNotFoundError):
            return bytes(obstore.get(self._store, key).bytes())
        return None

    def keys(self, prefix: str) -> list[str]:
        """The keys of every object under a prefix, which ends in a slash."""
        with self._clear_errors(f"list {prefix}"):
            pages = obstore.list(self._store, prefix=prefix)
            return sorted(item["path"] for page in pages for item in page)

    def delete(self, keys: list[str]) -> None:
        """Remove objects, in this order; one that is gone already is no error."""
        with self._clear_errors(f"delete {len(keys)} objects"):
            for key in keys:
                with suppress(FileNotFoundError):
                    obstore.delete(self._store, key)

    def versions(self, model: str) -> list[Version]:
        """Every complete version of a model, newest first.

        Raises:
            StoreError: the store could not be asked.
            ValueError: `model` is no name.
        """
        _check_name(model)
        found = []
        with self._clear_errors(f"list the versions of {model}"):
            for page in obstore.list(self._store, prefix=f"{model}/"):
                for item in page:
                    if match := _VERSION_KEY.fullmatch(item["path"]):
                        version = match["version"]
                        uri = _uri(model, version)
                        found.append(Version(model, version, uri, item["last_modified"]))
        return sorted(found, key=lambda one: (one.published_at, one.version), reverse=True)

    def download(self, uri: str, folder: Path) -> None:
        """Copy what lies right below an s3:// prefix into a folder.

        Raises:
            StoreError: nothing is there, or the store could not be asked.
        """
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        prefix = prefix.rstrip("/") + "/"
        store = _store(self.endpoint, os.environ, bucket)
        found = 0
        with self._clear_errors(f"read {uri}"):
            for page in obstore.list(store, prefix=prefix):
                for item in page:
                    name = item["path"].removeprefix(prefix)
                    if "/" not in name:
                        found += 1
                        with (folder / name).open("wb") as file:
                            for chunk in obstore.get(store, item["path"]):
                                file.write(chunk)
        if not found:
            raise StoreError(f"there is nothing at {uri} in {self.endpoint}")

    def _sha256(self, key: str) -> str | None:
        """The hash of an object's bytes, None where there is none; an ETag is not always a hash."""
        digest = hashlib.sha256()
        try:
            for chunk in obstore.get(self._store, key):
                digest.update(chunk)
        except FileNotFoundError:
            return None
        return digest.hexdigest()

    @contextmanager
    def _clear_errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:  # obstore maps some answers to FileNotFoundError
            if isinstance(error, OSError) and error.filename is not None:
                raise  # a local file, not the store
            raise StoreError(f"cannot {doing} at {self.endpoint}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """One sentence of obstore's answer, which goes on with pages of debugging."""
    text = str(error)
    for sign, hint in _HINTS.items():
        if sign.lower() in text.lower():
            return hint
    first = text.split("\n\n", maxsplit=1)[0]
    return " ".join(first.split())


def _endpoint(environment: Mapping[str, str]) -> str:
    endpoint = environment.get("SERIN_S3_ENDPOINT", "").rstrip("/")
    if not endpoint:
        raise SettingsError(
            "SERIN_S3_ENDPOINT is not set: name the S3 store to publish to, such as "
            "http://127.0.0.1:9000, or write to a folder with --output DIR"
        )
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path:
        raise SettingsError(
            f"SERIN_S3_ENDPOINT: expected http://HOST:PORT or https://HOST, got {endpoint!r}"
        )
    return endpoint


def _store(endpoint: str, environment: Mapping[str, str], bucket: str = BUCKET) -> S3Store:
    given = {
        option: environment[variable]
        for option, variable in (
            ("access_key_id", "AWS_ACCESS_KEY_ID"),
            ("secret_access_key", "AWS_SECRET_ACCESS_KEY"),
            ("session_token", "AWS_SESSION_TOKEN"),
        )
        if environment.get(variable)
    }
    keys = {"access_key_id", "secret_access_key"}
    if not keys <= given.keys() and not any(environment.get(role) for role in _ROLES):
        raise SettingsError(
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must both be set: they are the "
            f"credentials of {endpoint}"
        )
    options: dict[str, Any] = {
        "allow_http": True,  # the endpoint's scheme decides
        "connect_timeout": _CONNECT_TIMEOUT,
        "timeout": _REQUEST_TIMEOUT,
    }
    retry: dict[str, Any] = {"max_retries": _RETRIES, "retry_timeout": _RETRY_TIMEOUT}
    try:
        return S3Store(
            bucket,
            endpoint=endpoint,
            region=environment.get("AWS_REGION") or "us-east-1",
            virtual_hosted_style_request=False,  # MinIO and rclone know buckets by path
            client_options=options,  # type: ignore[arg-type]  # TypedDicts that only exist in stubs
            retry_config=retry,  # type: ignore[arg-type]
            **given,  # type: ignore[arg-type]
        )
    except BaseError as error:
        raise SettingsError(f"the settings of {endpoint} do not work: {_reason(error)}") from error


def _check_name(model: str) -> None:
    if not _MODEL_NAME.fullmatch(model):
        raise ValueError(f"a model's name is kebab-case, such as mnist-forest; got {model!r}")


def _uri(model: str, version: str) -> str:
    return f"s3://{BUCKET}/{model}/{version}"
