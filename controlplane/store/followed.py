"""A channel's objects in the store, read and written; `channels` says what they mean."""

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from controlplane.errors import SerinError
from controlplane.store import artifacts
from controlplane.store.channels import FOLDER, Document, parsed
from controlplane.store.s3 import BUCKET, Store

if TYPE_CHECKING:
    from obstore.store import S3Store


class Channel:
    """The objects of one channel. Each method raises StoreError where the store does not answer."""

    def __init__(self, store: Store, model: str, name: str, bucket: str = BUCKET) -> None:
        self.model = model
        self.name = name
        self.bucket = bucket
        self.folder = f"{model}/{FOLDER}/{name}"
        self.store = store
        self._client: S3Store = artifacts.client(store, bucket)

    @property
    def uri(self) -> str:
        """As a storageUri names it."""
        return f"s3://{self.bucket}/{self.model}@{self.name}"

    def read(self) -> Document | None:
        """The state; None where there is no such channel.

        Raises:
            SerinError: What is there is no channel.
        """
        raw = self._get(f"{self.folder}/state.json")
        if raw is None:
            return None
        try:
            document: Document = json.loads(raw)
            _ = document["generation"], document["version"], document["proposed"], document["next"]
        except (ValueError, KeyError, TypeError) as error:
            raise SerinError(f"{self.folder}/state.json is no channel: {error!r:.100}") from error
        return document

    def write(self, document: Document) -> None:
        """Write a commit: the state, then its entry in the history."""
        self.write_state(document)
        with artifacts.told(self.store):
            entry = f"{self.folder}/history/{document['generation']:08d}.json"
            self._client.put(entry, json.dumps(document, indent=1).encode())

    def write_state(self, document: Document) -> None:
        """Write what replicas read."""
        with artifacts.told(self.store):
            self._client.put(f"{self.folder}/state.json", json.dumps(document, indent=1).encode())

    def history(self) -> list[Document]:
        """Every commit, the last first."""
        return sorted(
            self._all("history").values(), key=lambda one: int(one["generation"]), reverse=True
        )

    def reports(self) -> dict[str, Document]:
        """What each replica said last, by its name."""
        return self._all("replicas")

    def forget(self, replica: str) -> None:
        """Remove the report of a replica that is no more."""
        with artifacts.told(self.store), suppress(FileNotFoundError):
            self._client.delete(f"{self.folder}/replicas/{replica}.json")

    def _all(self, kind: str) -> dict[str, Any]:
        found = {}
        for entry in artifacts.objects(self.store, self.bucket, f"{self.folder}/{kind}"):
            raw = self._get(entry["path"])
            with suppress(ValueError):  # half written: the next look has it
                if raw is not None:
                    name = entry["path"].rpartition("/")[2].removesuffix(".json")
                    found[name] = json.loads(raw)
        return found

    def _get(self, key: str) -> bytes | None:
        with artifacts.told(self.store), suppress(FileNotFoundError):
            return bytes(self._client.get(key).bytes())
        return None


def served(store: Store, storage_uri: str) -> str:
    """The storage URI of the version that a channel's URI stands for now; others as they are.

    Raises:
        SerinError: There is no such channel; says how to make it.
    """
    channel = parsed(storage_uri)
    if channel is None:
        return storage_uri
    bucket, model, name = channel
    document = Channel(store, model, name, bucket).read()
    if document is None:
        raise SerinError(
            f"{storage_uri} is followed, and there is no channel {name} of {model}: make it with "
            f"./serin channel set {model} VERSION"
        )
    return f"s3://{bucket}/{model}/{document['version']}"
