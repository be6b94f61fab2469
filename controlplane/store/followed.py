"""A channel's objects in the store, read and written; `channels` says what they mean."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from controlplane.errors import SerinError, StoreError
from controlplane.store import artifacts
from controlplane.store.channels import FOLDER, Document, parsed
from controlplane.store.s3 import BUCKET, Store

if TYPE_CHECKING:
    from obstore.store import S3Store

Types = type | tuple[type, ...]
MOST_BYTES = 1 << 20
"""Of a channel's document; what is larger is not read."""
_LOOKS, _LOOK_SECONDS = 3, 0.1
_NUMBER = (int, float)
_COMMIT: dict[str, Types] = {
    **dict.fromkeys(("version", "previous", "by", "why", "mode"), str),
    **dict.fromkeys(("at", "activate_at", "keep_seconds"), _NUMBER),
    "generation": int,
}
_STATE: dict[str, Types] = {**_COMMIT, "proposed": int, "next": (dict, type(None))}
_REPORT: dict[str, Types] = {
    **dict.fromkeys(("version", "kept", "trouble"), str),
    **dict.fromkeys(("generation", "seen", "prepared", "armed"), int),
    "failures": dict,
    "switched_late_seconds": _NUMBER,
}


class Channel:
    """The objects of one channel. Each method raises StoreError where the store does not answer."""

    def __init__(self, store: Store, model: str, name: str, bucket: str = BUCKET) -> None:
        self.model = model
        self.name = name
        self.bucket = bucket
        self.folder = f"{model}/{FOLDER}/{name}"
        self.store = store
        self._client: S3Store = artifacts.client(store, bucket)
        self._known: dict[str, tuple[str, Document]] = {}
        """What was read, with its ETag, by its key: what has not changed is not read again."""

    @property
    def uri(self) -> str:
        """As a storageUri names it."""
        return f"s3://{self.bucket}/{self.model}@{self.name}"

    def read(self) -> Document | None:
        """The state; None where there is no such channel.

        Not every S3 replaces an object at once: what is missing or cut off is looked at again.

        Raises:
            SerinError: What is there is no channel.
        """
        for _ in range(_LOOKS - 1):
            try:
                document = self._state()
            except StoreError:
                raise
            except SerinError:
                document = None
            if document is not None:
                return document
            time.sleep(_LOOK_SECONDS)
        return self._state()

    def _state(self) -> Document | None:
        raw = self._get(f"{self.folder}/state.json")
        if raw is None:
            return None
        document = _shaped(raw, _STATE)
        if document is None:
            raise SerinError(
                f"{self.folder}/state.json is no channel: expected JSON with {', '.join(_STATE)}."
            )
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
        commits = self._all("history", _COMMIT).values()
        return sorted(commits, key=lambda one: int(one["generation"]), reverse=True)

    def reports(self) -> dict[str, Document]:
        """What each replica said last, by its name."""
        return self._all("replicas", _REPORT)

    def forget(self, replica: str) -> None:
        """Remove the report of a replica that is no more."""
        key = f"{self.folder}/replicas/{replica}.json"
        self._known.pop(key, None)
        with artifacts.told(self.store), suppress(FileNotFoundError):
            self._client.delete(key)

    def _all(self, kind: str, fields: Mapping[str, Types]) -> dict[str, Document]:
        found = {}
        for entry in artifacts.objects(self.store, self.bucket, f"{self.folder}/{kind}"):
            if entry["size"] > MOST_BYTES:
                continue  # nobody's who follows or writes this
            document = self._document(entry["path"], entry["e_tag"], fields)
            if document is not None:  # else half written: the next look has it
                found[entry["path"].rpartition("/")[2].removesuffix(".json")] = document
        return found

    def _document(
        self, key: str, e_tag: str | None, fields: Mapping[str, Types]
    ) -> Document | None:
        known = self._known.get(key)
        if known and known[0] == e_tag:
            return known[1]
        raw = self._get(key)
        document = None if raw is None else _shaped(raw, fields)
        if document is not None and e_tag:
            self._known[key] = e_tag, document
        return document

    def _get(self, key: str) -> bytes | None:
        with artifacts.told(self.store), suppress(FileNotFoundError):
            answer = self._client.get(key)
            size = answer.meta["size"]
            if size > MOST_BYTES:
                raise SerinError(
                    f"s3://{self.bucket}/{key} has {size} bytes, and a channel's documents have "
                    f"at most {MOST_BYTES}: somebody else wrote it."
                )
            return bytes(answer.bytes())
        return None


def _shaped(raw: bytes, fields: Mapping[str, Types]) -> Document | None:
    """A document with these fields; None where it is none, or cut off."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    shaped = all(isinstance(document.get(name), types) for name, types in fields.items())
    return document if shaped else None


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
