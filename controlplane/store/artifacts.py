"""s3:// URI to local folder, as KServe's storage initializer fills /mnt/models.

A version is the first twelve hex digits of its MANIFEST.json's SHA-256, so a folder is what its URI
says or it is refused here; the files' own hashes are the predictor's to check, in a pod as here.
"""

import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from controlplane.errors import StoreError

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import S3Store

    from controlplane.store.s3 import Store

MANIFEST = "MANIFEST.json"
MANIFEST_BYTES = 16 << 20
"""Largest manifest, as predictors/runtime/artifact/artifact.py has it; a larger one is not read."""
_VERSION_LENGTH = 12
T = TypeVar("T")


def newest(store: "Store", storage_uri: str) -> str | None:
    """The version published last below s3://bucket/model; None where there is none.

    Published means that its MANIFEST.json, which is written last, is there. A version of
    `train --smoke` proves a pipeline and is no model: who wants it served names it.
    """
    bucket, prefix = _split(storage_uri)
    for version in published(store, storage_uri):
        if not is_smoke(manifest(store, bucket, f"{prefix}/{version}/{MANIFEST}")):
            return version
    return None


def published(store: "Store", storage_uri: str) -> list[str]:
    """Every version below s3://bucket/model, the one published last first.

    Raises:
        StoreError: The store does not answer.
    """
    bucket, prefix = _split(storage_uri)
    dated = [
        (entry["last_modified"], path.parts[-2])
        for entry in objects(store, bucket, prefix)
        if (path := Path(entry["path"])).name == MANIFEST and len(path.parts) == 3
    ]
    return [version for _, version in sorted(dated, reverse=True)]


def manifest(store: "Store", bucket: str, key: str) -> dict[str, Any]:
    """What a MANIFEST.json says; empty where it cannot be read, which `models verify` tells.

    Raises:
        StoreError: The store does not answer.
    """

    def read() -> bytes:
        answer = client(store, bucket).get(key)
        return bytes(answer.bytes()) if answer.meta["size"] <= MANIFEST_BYTES else b""

    with told(store):
        raw = interruptible(read)
    try:
        document = json.loads(raw)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def is_smoke(document: Mapping[str, Any]) -> bool:
    """Whether a manifest is of a run that only proves the pipeline."""
    metrics = document.get("metrics")
    return isinstance(metrics, dict) and metrics.get("smoke") is True


def fetch(store: "Store", storage_uri: str, models: Path) -> Path:
    """Bring an artifact to models/<model>/<version>, unless it is there.

    The folder appears whole or not at all: files go to a temporary neighbour, are synced to the
    disk, and the neighbour is renamed.

    Raises:
        StoreError: The version is not published, or its manifest is not what the version says.
    """
    bucket, prefix = _split(storage_uri)
    target = models / prefix
    if target.exists():
        return target
    # Empty objects are skipped, because the storage initializer skips them.
    sizes = {entry["path"]: entry["size"] for entry in objects(store, bucket, prefix)}
    paths = [path for path, size in sizes.items() if size]
    if sizes.get(f"{prefix}/{MANIFEST}", 0) > MANIFEST_BYTES:
        raise StoreError(
            f"{storage_uri}/{MANIFEST} has {sizes[f'{prefix}/{MANIFEST}']} bytes, and a manifest "
            f"has at most {MANIFEST_BYTES}: publish the version again."
        )
    if f"{prefix}/{MANIFEST}" not in paths:
        model = prefix.partition("/")[0]
        raise StoreError(
            f"{storage_uri} is not published: it has no {MANIFEST}. ./serin models list {model} "
            f"lists what is; ./serin up --newest {model} serves the newest."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        _download(store, bucket, prefix, paths, temporary)
        digest = hashlib.sha256((temporary / MANIFEST).read_bytes()).hexdigest()
        if digest[:_VERSION_LENGTH] != target.name:
            raise StoreError(
                f"{storage_uri}/{MANIFEST} is corrupt: its SHA-256 starts with "
                f"{digest[:_VERSION_LENGTH]}, and the version says {target.name}."
            )
        temporary.chmod(0o755)
        try:
            temporary.rename(target)
        except OSError:
            if not target.exists():  # else another pod of this version was first
                raise
        _sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def discard(folder: Path) -> None:
    """Forget a downloaded artifact, so that the next `fetch` brings it again."""
    shutil.rmtree(folder, ignore_errors=True)


def clean(models: Path) -> None:
    """Remove what an interrupted download left."""
    for leftover in models.glob("*/.*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _download(store: "Store", bucket: str, prefix: str, paths: list[str], folder: Path) -> None:
    from obstore.exceptions import BaseError

    reader = client(store, bucket)
    for path in paths:
        target = folder / Path(path).relative_to(prefix)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("wb") as file:
                for chunk in reader.get(path):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except BaseError as error:
            raise StoreError(f"s3://{bucket}/{path} cannot be read: {_cause(error)}.") from error


def objects(store: "Store", bucket: str, prefix: str = "") -> list["ObjectMeta"]:
    """Every object below a prefix; without one, of the bucket.

    Raises:
        StoreError: The store does not answer, or refuses.
    """
    with told(store):
        below = f"{prefix}/" if prefix else None
        return interruptible(
            lambda: [entry for batch in client(store, bucket).list(below) for entry in batch]
        )


def interruptible(call: Callable[[], T]) -> T:
    """Call the S3 client so that Ctrl-C ends the wait: it blocks in native code, deaf to signals.

    An answer that comes later is nobody's; the thread that waits for it ends with the process.
    """
    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except Exception as error:  # noqa: BLE001  raised again where it was called
            answer.set_exception(error)

    threading.Thread(target=work, name="s3", daemon=True).start()
    return answer.result()


@contextmanager
def told(store: "Store") -> Iterator[None]:
    """Turn whatever an S3 client raises into one sentence."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError) as error:
        raise StoreError(
            f"The S3 store at {store.endpoint} does not answer ({_cause(error)}): see that it runs "
            "and that SERIN_S3_ENDPOINT and its keys are right."
        ) from error


def _cause(error: BaseException) -> str:
    """The last link of obstore's chain of reasons, which is the one that helps."""
    return str(error).split("\n", 1)[0].rsplit(" - ", 1)[-1]


def client(store: "Store", bucket: str) -> "S3Store":
    """A client of one bucket; every request has a time limit."""
    from datetime import timedelta

    from obstore.store import S3Store

    return S3Store(
        bucket,
        endpoint=store.endpoint,
        access_key_id=store.access_key,
        secret_access_key=store.secret_key,
        region=store.region,
        virtual_hosted_style_request=False,
        client_options={
            "allow_http": True,
            "connect_timeout": timedelta(seconds=5),
            "timeout": timedelta(seconds=120),
        },
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=10)},
    )


def _split(storage_uri: str) -> tuple[str, str]:
    scheme, _, rest = storage_uri.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not prefix:
        raise StoreError(
            f"{storage_uri} is not s3://bucket/model[/version]; only S3 is served here."
        )
    return bucket, prefix


def _sync(folder: Path) -> None:
    """Make a rename in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
