"""What `serin up` asks for, on its way into the objects: manifests applied, versions named."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping

from controlplane.errors import SerinError
from controlplane.kubernetes.meta import Object
from controlplane.local import published, seeds
from controlplane.local.api.resources import Resources
from controlplane.local.api.writes.admission import Resolve, name_versions
from controlplane.local.controllers.report import Failure
from controlplane.statefolder import Home, read_json
from controlplane.store import artifacts
from controlplane.store.channels import UNTRAINED, is_versioned
from controlplane.store.s3 import Store

FIND_SECONDS = 2.0
"""Between looks for a version of a model that was applied before it was published."""


class Intake:
    """Follows desired.json, beside the supervisor's loop."""

    def __init__(
        self, home: Home, resources: Resources, resolve: Resolve, wake: Callable[[], None]
    ) -> None:
        self.generation = 0
        """Of desired.json: what was applied last."""
        self.error = ""
        """Why it could not be; empty where it could."""
        self._home = home
        self._resources = resources
        self._resolve = resolve
        self._wake = wake
        self._applied: dict[str, int] = {}
        self._seen: tuple[int, int] | None = None
        self._applying: asyncio.Task[None] | None = None
        self._finding: asyncio.Task[None] | None = None
        self._find_at = 0.0

    def step(self, failures: Mapping[str, Failure]) -> None:
        """Begin what is to be done now."""
        if (self._applying is None or self._applying.done()) and self._is_changed():
            self._applying = asyncio.create_task(self._apply())
        missing = {name for name, failure in failures.items() if failure.unpublished}
        if missing and time.monotonic() > self._find_at:
            self._find_at = time.monotonic() + FIND_SECONDS
            self._finding = asyncio.create_task(self._find(missing))

    def stop(self) -> None:
        """Leave undone what is not done."""
        for task in (self._applying, self._finding):
            if task:
                task.cancel()

    def _is_changed(self) -> bool:
        try:
            status = self._home.desired.stat()
        except FileNotFoundError:
            return False
        seen = (status.st_ino, status.st_mtime_ns)
        changed, self._seen = seen != self._seen, seen
        return changed

    async def _apply(self) -> None:
        """Apply the manifests of the models that were named since the last time."""
        desired = read_json(self._home.desired)
        models = {
            name: model
            for name, model in desired.get("models", {}).items()
            if self._applied.get(name) != model["generation"]
        }
        replicas = {name: model["replicas"] for name, model in models.items()}
        try:
            wanted = published.known(self._home)
            for service in wanted:
                if models.get(service["metadata"]["name"], {}).get("newest"):
                    await self._move_on(service)
            await seeds.apply(self._resources, wanted, replicas)
        except SerinError as error:
            self.error = str(error)
        else:
            self.error = ""
            self._applied |= {name: model["generation"] for name, model in models.items()}
        self.generation = desired.get("generation", 0)
        self._wake()

    async def _move_on(self, manifest: Object) -> None:
        """Name the newest version in an InferenceService's manifest, whatever was chosen before."""
        if manifest["kind"] == "InferenceService":
            await name_versions(manifest, None, self._resolve)

    async def _find(self, names: set[str]) -> None:
        """Name the versions of models that were applied before they were published."""
        objects = self._resources.objects
        for service in objects.list_of("InferenceService"):
            if service["metadata"]["name"] in names:
                with contextlib.suppress(SerinError):  # no store, or somebody was faster
                    await name_versions(service, None, self._resolve)
                    objects.update(service)


async def versioned(models: Store, storage_uri: str, kept: str = "") -> str | None:
    """A URI that names no version, with one: what was chosen before, or else the newest.

    Args:
        models: The store.
        storage_uri: As a manifest names it.
        kept: What is to be served until now. It stays while the model has any published version,
            also where its own is gone: what nobody asked for is not served in its place.

    Returns:
        None where the URI names a version, or nothing is published.

    Raises:
        StoreError: The store does not answer.
    """
    uri = storage_uri.rstrip("/")
    if is_versioned(uri) or not uri.startswith("s3://"):
        return None
    uri = uri.removesuffix(f"/{UNTRAINED}")
    if kept.startswith(f"{uri}@"):
        return kept
    if kept.startswith(f"{uri}/") and is_versioned(kept):
        versions = await asyncio.to_thread(artifacts.published, models, uri)
        if versions:
            return kept
    version = await asyncio.to_thread(artifacts.newest, models, uri)
    return f"{uri}/{version}" if version else None
