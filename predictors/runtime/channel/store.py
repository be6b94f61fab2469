"""The channel's objects in S3: the state that is read, the versions, and this replica's report.

obstore is imported here and nowhere else in the runtime, and only where a channel is followed: a
predictor of a fixed version reads a local folder and needs no store.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predictors.runtime.artifact.artifact import (
    MANIFEST,
    ArtifactError,
    Manifest,
    check_size,
    read_artifact,
    version_of,
)
from predictors.runtime.channel.document import Address, ChannelError, Document, read

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import S3Store

_POLL_TIMEOUT = timedelta(seconds=1)  # below the lease: a store that hangs is asked again in time
_DOWNLOAD_TIMEOUT = timedelta(seconds=120)
_DOCUMENT_BYTES = 1 << 20


class StoreError(Exception):
    """The store does not answer, or refuses; trying again may help."""


class ChannelStore:
    """One channel's objects, read and written from threads.

    Args:
        address: Of the channel.
        folder: Where versions are downloaded to; it is this process' own.
        environment: SERIN_S3_ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION.

    Raises:
        ChannelError: The environment names no store, or obstore is not installed.
    """

    def __init__(
        self, address: Address, folder: Path, environment: Mapping[str, str] = os.environ
    ) -> None:
        self.address = address
        self._folder = folder
        self._tag: str | None = None
        self._document: Document | None = None
        self._polled = _client(address.bucket, environment, _POLL_TIMEOUT, retries=0)
        self._loaded = _client(address.bucket, environment, _DOWNLOAD_TIMEOUT, retries=3)

    def read(self) -> Document:
        """The channel as it is now; what has not changed is not sent again.

        Raises:
            StoreError: The store does not answer, or there is no channel.
            ChannelError: What is there is no channel.
        """
        from obstore.exceptions import NotModifiedError

        key = f"{self.address.folder}/state.json"
        with _told(f"read {key}"):
            try:
                options: GetOptions = {"if_none_match": self._tag} if self._tag else {}
                got = self._polled.get(key, options=options)
                if got.meta["size"] > _DOCUMENT_BYTES:
                    raise ChannelError(
                        f"{key} has {got.meta['size']} bytes: a channel has at most "
                        f"{_DOCUMENT_BYTES}"
                    )
                raw, tag = bytes(got.bytes()), got.meta["e_tag"]
            except NotModifiedError:
                if self._document is not None:
                    return self._document
                raise
        self._document = read(raw)  # first: what cannot be read is asked for again
        self._tag = tag
        return self._document

    def report(self, replica: str, told: Mapping[str, Any]) -> None:
        """Write what this replica says of itself; raises StoreError."""
        key = f"{self.address.folder}/replicas/{replica}.json"
        with _told(f"write {key}"):
            self._polled.put(key, json.dumps(told).encode())

    def fetch(self, version: str) -> tuple[Path, Manifest]:
        """Download a version and verify every byte of it.

        Raises:
            StoreError: The store does not answer.
            ArtifactError: It is not published, or is not what its manifest says.
        """
        target = self._folder / version
        prefix = f"{self.address.model}/{version}/"
        if not target.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(dir=self._folder, prefix=f".{version}."))
            try:
                self._download(prefix, beside)
                beside.rename(target)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
        try:
            manifest = read_artifact(target)
            if (manifest.model, manifest.version) != (self.address.model, version):
                raise ArtifactError(f"{prefix}{MANIFEST} is of {manifest.model}/{manifest.version}")
        except ArtifactError:
            self.discard(version)  # so that the next try downloads it again
            raise
        return target, manifest

    def discard(self, version: str) -> None:
        """Remove what was downloaded of a version."""
        shutil.rmtree(self._folder / version, ignore_errors=True)

    def _download(self, prefix: str, folder: Path) -> None:
        with _told(f"read {prefix}"):
            sizes = {
                entry["path"].removeprefix(prefix): entry["size"]
                for page in self._loaded.list(prefix)
                for entry in page
            }
            if MANIFEST not in sizes:
                raise ArtifactError(f"{prefix.rstrip('/')} is not published: no {MANIFEST}")
            got = self._loaded.get(f"{prefix}{MANIFEST}")
            check_size(f"{prefix}{MANIFEST}", got.meta["size"])
            raw = bytes(got.bytes())
            if version_of(raw) != prefix.split("/")[-2]:
                raise ArtifactError(f"{prefix}{MANIFEST} is corrupt: its hash is {version_of(raw)}")
            (folder / MANIFEST).write_bytes(raw)
            # Nothing is downloaded that would not be served: its size may be anything.
            for name, size in _listed(raw, f"{prefix}{MANIFEST}").items():
                if sizes.get(name) != size:
                    raise ArtifactError(
                        f"{prefix}{name} has {sizes.get(name, 'no')} bytes in the store, and its "
                        f"manifest says {size}"
                    )
                file = folder / name
                if not file.resolve().is_relative_to(folder.resolve()):
                    raise ArtifactError(f"the manifest lists {name!r}, which leads elsewhere")
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("wb") as written:
                    for chunk in self._loaded.get(f"{prefix}{name}"):
                        written.write(chunk)


def _listed(manifest: bytes, key: str) -> dict[str, int]:
    """The files that a manifest vouches for, and their sizes."""
    try:
        files = json.loads(manifest)["files"]
        return {name: entry["size_bytes"] for name, entry in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{key} is not a manifest: {error!r:.100}") from error


@contextmanager
def _told(doing: str) -> Iterator[None]:
    from obstore.exceptions import BaseError

    try:
        yield
    except BaseError as error:
        reason = str(error).split("\n", 1)[0].rsplit(" - ", 1)[-1]
        raise StoreError(f"cannot {doing}: {reason}") from error
    except OSError as error:  # obstore maps some answers to FileNotFoundError
        raise StoreError(f"cannot {doing}: {str(error).splitlines()[0]:.200}") from error


def _client(
    bucket: str, environment: Mapping[str, str], timeout: timedelta, *, retries: int
) -> "S3Store":
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise ChannelError(
            f"PREDICTOR_CHANNEL is set, and obstore is not installed ({error}): add "
            "requirements/channel.txt to the image, or unset it"
        ) from error
    try:
        endpoint, key, secret = (
            environment[name]
            for name in ("SERIN_S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        )
    except KeyError as error:
        raise ChannelError(
            f"PREDICTOR_CHANNEL is set, and {error.args[0]} is not: a channel is read from S3"
        ) from None
    return S3Store(
        bucket,
        endpoint=endpoint,
        access_key_id=key,
        secret_access_key=secret,
        region=environment.get("AWS_REGION") or "us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True, "connect_timeout": timeout, "timeout": timeout},
        retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=10)},
    )
