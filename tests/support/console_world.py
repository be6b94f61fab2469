"""A console whose sources answer what a test says, hostile or not."""

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from controlplane.console.app import Console
from controlplane.console.settings import Settings
from controlplane.console.sources.bundle import Sources
from controlplane.console.sources.cluster import REVIEWS, Access
from controlplane.console.sources.registry import Published

BASE = "http://127.0.0.1:8090"
IMAGE = "<img src=x onerror=alert(1)>"
TRUST = ssl.create_default_context()
TURNED = "\u202egnp.exe"
"""Reads backwards where nothing stops it."""


@dataclass
class World:
    """What the sources say."""

    objects: dict[str, list[Any]] = field(default_factory=dict)
    """Plural → objects."""
    log: str = ""
    metrics: Callable[[httpx.Request], httpx.Response] | None = None
    metadata: Any = None
    answer: Any = None
    versions: list[Published] = field(default_factory=list)
    unread: int = 0
    """Versions that the registry did not read."""
    read_only: bool = False
    forbidden: tuple[str, ...] = ()
    """Verbs with kinds that its account may not: `patch leases`; `*`: it is not said."""
    logs: Path | None = None
    """Where engines of rollouts log; None: none is started."""
    patches: list[tuple[str, Any]] = field(default_factory=list)
    asked: list[httpx.Request] = field(default_factory=list)

    def get(self, path: str) -> httpx.Response:
        """A page."""
        return self.ask("GET", path)

    def ask(
        self, method: str, path: str, data: Mapping[str, str] | bytes | None = None
    ) -> httpx.Response:
        """One request of somebody who may come in: a form, or a body as it is."""
        settings = Settings(
            "t" * 32, "http://gateway", "http://prom", None, self.read_only, logs=self.logs
        )
        access = Access("https://cluster", "models", TRUST, lambda: "t")

        async def send() -> httpx.Response:
            sources = Sources.of(settings, access, httpx.MockTransport(self._reply))
            sources.registry._listed, sources.registry._until = self.versions, float("inf")
            sources.registry.unread = self.unread
            sources.registry._store = object()  # type: ignore[assignment]  # never asked
            app = Console(settings, sources).app()
            cookies = {"serin-console-8090": settings.cookie}
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(
                transport=transport, base_url=BASE, cookies=cookies
            ) as client:
                sent = {"content": data} if isinstance(data, bytes) else {"data": data}
                return await client.request(method, path, headers={"Origin": BASE}, **sent)

        return asyncio.run(send())

    def _reply(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answers = {"prom": self._prometheus, "gateway": self._gateway}
        answer = answers.get(request.url.host, self._cluster)(request)
        return httpx.Response(answer.status_code, stream=httpx.ByteStream(answer.content))

    def _prometheus(self, request: httpx.Request) -> httpx.Response:
        if self.metrics:
            return self.metrics(request)
        return httpx.Response(200, json={"status": "success", "data": {"result": []}})

    def _gateway(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200 if self.metadata else 404, json=self.metadata)
        return httpx.Response(200, json=self.answer)

    def _change(self, request: httpx.Request, parts: list[str]) -> httpx.Response:
        """An object more, or one less."""
        kept = self.objects.setdefault(parts[0], [])
        if request.method == "DELETE":
            kept[:] = [item for item in kept if item["metadata"]["name"] != parts[1]]
            return httpx.Response(200, json={})
        document = json.loads(request.content)
        if any(item["metadata"]["name"] == document["metadata"]["name"] for item in kept):
            return httpx.Response(409, json={})
        document["metadata"]["uid"] = f"made0000-{len(kept)}"
        kept.append(document)
        return httpx.Response(201, json=document)

    def _review(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)["spec"]["resourceAttributes"]
        if "*" in self.forbidden:
            return httpx.Response(500, json={"message": "etcd is away"})
        allowed = f"{asked['verb']} {asked['resource']}" not in self.forbidden
        status = {"allowed": allowed, "reason": "" if allowed else IMAGE}
        return httpx.Response(201, json={"status": status})

    def _cluster(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == REVIEWS:
            return self._review(request)
        parts = request.url.path.split("/namespaces/models/")[1].split("/")
        if request.method == "PATCH":
            self.patches.append(("/".join(parts), json.loads(request.content)))
            return httpx.Response(200, json={})
        if request.method in {"POST", "DELETE"}:
            return self._change(request, parts)
        if parts[-1] == "log":
            return httpx.Response(200, text=self.log)
        return self._read(parts)

    def _read(self, parts: list[str]) -> httpx.Response:
        """A kind's objects, or one of them."""
        if f"list {parts[0]}" in self.forbidden:
            return httpx.Response(403, json={"message": f"{parts[0]} is forbidden: {IMAGE}"})
        items = self.objects.get(parts[0], [])
        if len(parts) == 1:
            return httpx.Response(200, json={"items": items})
        named = [
            item
            for item in items
            if isinstance(item, dict)
            and isinstance(item.get("metadata"), dict)
            and item["metadata"].get("name") == parts[1]
        ]
        return httpx.Response(200, json=named[0]) if named else httpx.Response(404, json={})


def service(name: str = "iris", version: str = "v1", **spec: Any) -> dict[str, Any]:
    """An InferenceService that is ready."""
    return {
        "metadata": {"name": name, "generation": 1, "resourceVersion": "7"},
        "spec": {
            "predictor": {"model": {"storageUri": f"s3://models/{name}/{version}"}},
            **spec,
        },
        "status": {
            "url": f"http://{name}-models.localhost",
            "observedGeneration": 1,
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def deployment(name: str = "iris-predictor", version: str = "v1") -> dict[str, Any]:
    """Its Deployment, with one replica that is ready."""
    source = {"internal.serving.kserve.io/storage-initializer-sourceuri": f"s3://m/x/{version}"}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": 1, "template": {"metadata": {"annotations": source}}},
        "status": {"readyReplicas": 1, "updatedReplicas": 1},
    }


def pod(name: str, model: str, **status: Any) -> dict[str, Any]:
    """A pod of a model's."""
    return {
        "metadata": {
            "name": name,
            "labels": {"serving.kserve.io/inferenceservice": model},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"containers": [{"name": "kserve-container"}]},
        "status": {"phase": "Running", **status},
    }


def published(model: str, version: str, **manifest: Any) -> Published:
    """A version in the store."""
    return Published(model, version, datetime(2026, 1, 1, tzinfo=UTC), 1234, manifest)
