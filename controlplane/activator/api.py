"""As much of the Kubernetes API as the activator needs, with its Pod's own ServiceAccount."""

import asyncio
import json
import logging
import os
import ssl
from pathlib import Path

import httpx

from controlplane.activator.slices import MANAGER, Object

SCALED_OBJECTS = "/apis/keda.sh/v1alpha1", "scaledobjects"
DEPLOYMENTS = "/apis/apps/v1", "deployments"
SERVICES = "/api/v1", "services"
SLICES = "/apis/discovery.k8s.io/v1", "endpointslices"
Kind = tuple[str, str]

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_WATCH_SECONDS = 60  # then everything is listed anew
_TIMEOUT = httpx.Timeout(10)
_LOG = logging.getLogger(__name__)


class Api:
    """The namespace that this runs in, kept up to date."""

    def __init__(self) -> None:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        self.namespace = (_ACCOUNT / "namespace").read_text()
        self.changed = asyncio.Event()
        self._client = httpx.AsyncClient(
            base_url=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
            verify=ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt")),
            timeout=_TIMEOUT,
            trust_env=False,
        )

    async def watch(self, kind: Kind, objects: dict[str, Object], listed: asyncio.Event) -> None:
        """Keep all objects of a kind up to date, by name, for ever.

        Args:
            kind: Which.
            objects: Changed in place; `changed` is set after.
            listed: Set once all are there.
        """
        while True:
            try:
                await self._follow(kind, objects, listed)
            except (httpx.HTTPError, ValueError, KeyError) as error:
                _LOG.warning(
                    "watching %s: %s; again in 1 s", kind[1], str(error) or type(error).__name__
                )
                await asyncio.sleep(1)

    async def _follow(self, kind: Kind, objects: dict[str, Object], listed: asyncio.Event) -> None:
        answer = await self._client.get(self._path(kind), headers=_login())
        answer.raise_for_status()
        everything = answer.json()
        objects.clear()
        objects.update((one["metadata"]["name"], one) for one in everything["items"])
        listed.set()
        self.changed.set()
        query = {
            "watch": "true",
            "resourceVersion": everything["metadata"]["resourceVersion"],
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        stream = self._client.stream(
            "GET",
            self._path(kind),
            params=query,
            headers=_login(),
            timeout=httpx.Timeout(10, read=_WATCH_SECONDS + 10),  # a dead connection ends, too
        )
        async with stream as lines:
            lines.raise_for_status()
            async for line in lines.aiter_lines():
                event = json.loads(line)
                if event["type"] == "ERROR":  # too old: list again
                    return
                name = event["object"]["metadata"]["name"]
                if event["type"] == "DELETED":
                    objects.pop(name, None)
                else:
                    objects[name] = event["object"]
                self.changed.set()

    async def apply(self, kind: Kind, document: Object) -> Object:
        """Make an object be so, whether it is there or not; the object."""
        answer = await self._client.patch(
            self._path(kind, document["metadata"]["name"]),
            params={"fieldManager": MANAGER, "force": "true"},
            headers={**_login(), "Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(document),
        )
        answer.raise_for_status()
        applied: Object = answer.json()
        return applied

    async def delete(self, kind: Kind, name: str) -> None:
        """Take an object away, if it is there."""
        answer = await self._client.delete(self._path(kind, name), headers=_login())
        if answer.status_code != 404:
            answer.raise_for_status()

    def _path(self, kind: Kind, name: str = "") -> str:
        path = f"{kind[0]}/namespaces/{self.namespace}/{kind[1]}"
        return f"{path}/{name}" if name else path


def _login() -> dict[str, str]:
    # Read each time: the kubelet renews it every hour.
    return {"Authorization": f"Bearer {(_ACCOUNT / 'token').read_text()}"}
