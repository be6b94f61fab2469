"""One writer of a channel at a time: a Kubernetes Lease, taken and renewed by its resourceVersion.

S3's conditional writes would do as well, and not every S3 has them. A writer renews right before it
writes; one that was overtaken meanwhile gets a conflict, and writes nothing.
"""

import os
import socket
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from controlplane.errors import SerinError
from controlplane.kubernetes.client import Conflict, Kubernetes, Object

LEASE_SECONDS = 15


class Lease:
    """The right to write a channel; also a context manager, which waits for nobody."""

    def __init__(self, api: Kubernetes, model: str, channel: str) -> None:
        self.me = f"{socket.gethostname()}/{os.getpid()}"
        self._api = api
        self._name = f"channel-{model}-{channel}"
        self._what = f"channel {channel} of {model}"
        self._version = ""

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            SerinError: Another writer has it; says who.
        """
        found = self._api.get("leases", self._name)
        try:
            if found is None:
                self._keep(self._api.create("leases", self._object()))
                return self
            spec = found.get("spec") or {}
            holder = spec.get("holderIdentity") or ""
            if holder and _silent_seconds(spec) < LEASE_SECONDS:
                raise SerinError(f"{holder} is changing the {self._what}: try again after it.")
            self._version = found["metadata"]["resourceVersion"]
            self._patch(self.me)
        except Conflict as error:
            raise SerinError(f"Another writer took the {self._what} just now.") from error
        return self

    def renew(self) -> None:
        """Make sure of it, right before a write.

        Raises:
            SerinError: It was lost.
        """
        try:
            self._patch(self.me)
        except Conflict as error:
            raise SerinError(
                f"Another writer took the {self._what} meanwhile: nothing more was written."
            ) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give it up, if it is still ours and the API answers; else its time ends it."""
        try:
            self._patch("")
        except SerinError:
            return

    def _patch(self, holder: str) -> None:
        spec = {"holderIdentity": holder, "renewTime": _now()}
        metadata = {"resourceVersion": self._version}
        self._keep(self._api.patch("leases", self._name, {"metadata": metadata, "spec": spec}))

    def _keep(self, lease: Object) -> None:
        self._version = lease["metadata"]["resourceVersion"]

    def _object(self) -> Object:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._api.namespace},
            "spec": {
                "holderIdentity": self.me,
                "leaseDurationSeconds": LEASE_SECONDS,
                "acquireTime": _now(),
                "renewTime": _now(),
            },
        }


def _silent_seconds(spec: Object) -> float:
    try:
        then = datetime.fromisoformat(spec.get("renewTime") or "").timestamp()
    except ValueError:
        return float("inf")
    return max(time.time() - then, 0.0)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
