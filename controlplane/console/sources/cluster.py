"""Kubernetes' API, asynchronously, as the console reads it: lists, logs and a few patches.

On a laptop the kubeconfig that `serin up` writes leads there; in a pod its service account does.
"""

import base64
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx
import yaml

from controlplane.console.sources import bounded
from controlplane.console.sources.answer import ForbiddenError, SourceError
from controlplane.console.sources.bounded import Reply
from controlplane.kubernetes.kinds import KINDS

Object = dict[str, Any]
WHO = "The Kubernetes API"
ITEMS = 500
"""Of a list; a page that would show more would not be read."""
LOG_LINES = 120
LOG_BYTES = 128 * 1024
MANAGER = "serin-console"
MERGE = "application/merge-patch+json"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_KINDS = {kind.plural: kind for kind in reversed(KINDS)}
_PATHS = {
    plural: f"/apis/{kind.group}/{kind.version}" if kind.group else "/api/v1"
    for plural, kind in _KINDS.items()
}


class ConflictError(SourceError):
    """An object of that name is there already."""


@dataclass(frozen=True, slots=True)
class Access:
    """How an API server is reached."""

    url: str
    namespace: str
    trust: ssl.SSLContext
    token: Callable[[], str]

    @classmethod
    def of_kubeconfig(cls, path: Path) -> Self:
        """The current context of a file with a token, which is what `serin up` writes.

        Raises:
            SourceError: The file is another kind of kubeconfig, or none.
        """
        try:
            config = yaml.safe_load(path.read_text("utf-8"))
            named = {
                key: {entry["name"]: entry for entry in config[key]}
                for key in ("clusters", "users", "contexts")
            }
            context = named["contexts"][config["current-context"]]["context"]
            cluster = named["clusters"][context["cluster"]]["cluster"]
            token = str(named["users"][context["user"]]["user"]["token"])
            authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
            url, namespace = str(cluster["server"]), str(context.get("namespace", "default"))
        except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
            raise SourceError(
                f"{path} is no kubeconfig with a token and an authority ({error!r}): start the "
                "platform with ./serin up, which writes one."
            ) from error
        return cls(url, namespace, ssl.create_default_context(cadata=authority), lambda: token)

    @classmethod
    def of_pod(cls, host: str, port: str) -> Self:
        """The service account of the pod that this runs in."""
        url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        trust = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
        namespace = (_ACCOUNT / "namespace").read_text("utf-8").strip()
        # Read each time: the kubelet renews it every hour.
        return cls(url, namespace, trust, lambda: (_ACCOUNT / "token").read_text("utf-8"))


class Cluster:
    """One namespace of a cluster."""

    def __init__(self, access: Access, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.namespace = access.namespace
        self._token = access.token
        self._client = httpx.AsyncClient(
            base_url=access.url, verify=access.trust, trust_env=False, transport=transport
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def list(self, plural: str, labels: str = "", fields: str = "") -> list[Object]:
        """The namespace's objects; none where the cluster has no such kind.

        Raises:
            SourceError: There is no answer.
        """
        params = {"limit": str(ITEMS)}
        params |= {"labelSelector": labels} if labels else {}
        params |= {"fieldSelector": fields} if fields else {}
        reply = await self._ask("GET", self._path(plural), params=params)
        if reply.status == 404:
            return []
        items = _document(reply).get("items")
        return [item for item in items or () if isinstance(item, dict)][:ITEMS]

    async def get(self, plural: str, name: str) -> Object | None:
        """One object; None where it is not there.

        Raises:
            SourceError: There is no answer.
        """
        reply = await self._ask("GET", self._path(plural, name))
        return None if reply.status == 404 else _document(reply)

    async def log(self, pod: str, container: str) -> str:
        """The end of a pod's log; empty where there is none yet.

        Raises:
            SourceError: There is no answer.
        """
        params = {
            "container": container,
            "tailLines": str(LOG_LINES),
            "limitBytes": str(LOG_BYTES),
        }
        path = f"{self._path('pods', pod)}/log"
        reply = await self._ask("GET", path, params=params, limit_bytes=2 * LOG_BYTES)
        # 404: the pod is gone. 400: its container waits to start, or to start again.
        if reply.status in {400, 404}:
            return ""
        if reply.is_error:
            _document(reply)
        return reply.text()[-LOG_BYTES:]

    async def patch(self, plural: str, name: str, patch: Object) -> None:
        """Merge something into an object.

        Raises:
            SourceError: It is refused; says why.
        """
        reply = await self._ask(
            "PATCH",
            self._path(plural, name),
            params={"fieldManager": MANAGER},
            headers={"Content-Type": MERGE},
            json=patch,
        )
        _document(reply)

    async def create(self, plural: str, document: Object) -> Object:
        """Add an object.

        Raises:
            ConflictError: It is there already.
            SourceError: It is refused; says why.
        """
        params = {"fieldManager": MANAGER}
        reply = await self._ask("POST", self._path(plural), params=params, json=document)
        if reply.status == 409:
            raise ConflictError(f"{document['metadata']['name']} is there already.")
        return _document(reply)

    async def delete(self, plural: str, name: str) -> None:
        """Remove an object and what it owns; one that is gone is removed.

        Raises:
            SourceError: It is refused; says why.
        """
        params = {"propagationPolicy": "Background"}  # a Job's pods stay otherwise
        reply = await self._ask("DELETE", self._path(plural, name), params=params)
        if reply.status != 404:
            _document(reply)

    async def refusal(self, verb: str, plural: str) -> str:
        """Why these credentials may not do something to a kind here; empty where they may.

        Raises:
            SourceError: There is no answer.
        """
        kind = _KINDS[plural]
        asked = {
            "namespace": self.namespace,
            "verb": verb,
            "group": kind.group,
            "version": kind.version,
            "resource": plural,
        }
        document = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        status = _document(await self._ask("POST", REVIEWS, json=document)).get("status")
        if not isinstance(status, dict):
            raise SourceError(f"{WHO} does not say whether this console may {verb} {plural}.")
        if status.get("allowed") is True:
            return ""
        said = f" ({status['reason']})" if status.get("reason") else ""
        return f"Its account may not {verb} {kind.resource} in namespace {self.namespace}{said}."

    def _path(self, plural: str, name: str = "") -> str:
        path = f"{_PATHS[plural]}/namespaces/{quote(self.namespace, safe='')}/{plural}"
        return f"{path}/{quote(name, safe='')}" if name else path

    async def _ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Reply:
        login = {"Authorization": f"Bearer {self._token()}", **(headers or {})}
        return await bounded.request(self._client, WHO, method, path, headers=login, **options)


def _document(reply: Reply) -> Object:
    try:
        document = reply.document()
    except ValueError as error:
        raise SourceError(f"{WHO} answers {reply.status} without a JSON object.") from error
    if reply.is_error:
        said = document.get("message") or reply.status
        refused = ForbiddenError if reply.status == ForbiddenError.status else SourceError
        raise refused(f"{WHO} refuses: {said}")
    return document
