"""A small client of the Kubernetes API: what verbs, rollouts and the console read and write.

The kubeconfig is read by Kubernetes' own client, which knows every way to log in; requests are
httpx's, each with a timeout.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx

from controlplane.errors import SerinError

Object = dict[str, Any]
TIMEOUT_SECONDS = 10.0
LOG_BYTES = 16 * 2**20
"""Of one log in one look; what is beyond comes with the next."""
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
MERGE = "application/merge-patch+json"
GROUPS = {
    "inferenceservices": "/apis/serving.kserve.io/v1beta1",
    "httproutes": "/apis/gateway.networking.k8s.io/v1",
    "deployments": "/apis/apps/v1",
    "replicasets": "/apis/apps/v1",
    "scaledobjects": "/apis/keda.sh/v1alpha1",
    "pods": "/api/v1",
    "leases": "/apis/coordination.k8s.io/v1",
    "events": "/api/v1",
    "jobs": "/apis/batch/v1",
    "serviceaccounts": "/api/v1",
    "roles": "/apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
}


class ApiError(SerinError):
    """The API server does not answer, or refuses."""


class Conflict(ApiError):
    """The object was changed since it was read, or is there already."""


@dataclass(frozen=True, slots=True)
class Access:
    """A kubeconfig and one of its contexts."""

    kubeconfig: Path | None
    """None: what KUBECONFIG names, or ~/.kube/config."""
    context: str | None = None
    """None: the current one."""
    namespace: str | None = None
    """None: the context's."""


class Kubernetes:
    """One cluster's API, in one namespace.

    Raises:
        SerinError: The kubeconfig cannot be used; says why.
    """

    def __init__(self, access: Access) -> None:
        from kubernetes import client, config
        from kubernetes.config.config_exception import ConfigException

        file = str(access.kubeconfig) if access.kubeconfig else None
        settings: Any = client.Configuration()
        try:
            config.load_kube_config(  # type: ignore[no-untyped-call]  # it has no types
                file, access.context, client_configuration=settings, persist_config=False
            )
            listed = config.list_kube_config_contexts(file)  # type: ignore[no-untyped-call]  # same
        except (ConfigException, OSError) as error:
            where = access.kubeconfig or "the kubeconfig"
            raise SerinError(
                f"{where} does not lead to a cluster ({error}): start one with ./serin up, or name "
                "another with --kubeconfig and --context."
            ) from error
        contexts, current = listed
        chosen = next((one for one in contexts if one["name"] == access.context), current)
        self.namespace = access.namespace or chosen["context"].get("namespace", "models")
        self._settings = settings
        self._client = httpx.Client(
            base_url=settings.host,
            verify=_trust(settings),
            timeout=TIMEOUT_SECONDS,
            # A proxy has no business with loopback.
            trust_env=bool(settings.proxy) and httpx.URL(settings.host).host not in LOOPBACK,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, plural: str, name: str) -> Object | None:
        """One object; None where it is not there."""
        return self._ask("GET", self._path(plural, name), missing=True)

    def list(self, plural: str, labels: str = "") -> list[Object]:
        """The namespace's objects that a selector chooses; none where there is no such kind."""
        params = {"labelSelector": labels} if labels else {}
        found = self._ask("GET", self._path(plural), missing=True, params=params) or {}
        items: list[Object] = found.get("items", [])
        return items

    def create(self, plural: str, one: Object) -> Object:
        """Add an object.

        Raises:
            Conflict: It is there already.
        """
        return self._ask("POST", self._path(plural), json=one) or {}

    def patch(self, plural: str, name: str, patch: Object) -> Object:
        """Merge something into an object.

        Raises:
            Conflict: The patch names a resourceVersion that is not the newest.
        """
        headers = {"Content-Type": MERGE}
        return self._ask("PATCH", self._path(plural, name), json=patch, headers=headers) or {}

    def delete(self, plural: str, name: str) -> None:
        """Remove an object with what it owns; one that is not there is removed."""
        params = {"propagationPolicy": "Background"}  # a Job's pods stay otherwise
        self._ask("DELETE", self._path(plural, name), missing=True, params=params)

    def log(self, pod: str, container: str, since: float) -> str:
        """What a pod wrote since a Unix time, in whole seconds; empty where none of it runs.

        Raises:
            ApiError: The log cannot be had.
        """
        moment = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        params = {"container": container, "sinceTime": moment, "limitBytes": str(LOG_BYTES)}
        path = f"{self._path('pods', pod)}/log"
        try:
            answer = self._client.get(path, params=params, headers=self._login())
        except httpx.HTTPError as error:
            said = str(error) or type(error).__name__
            raise ApiError(f"The log of {pod} cannot be read: {said}") from error
        # 404: the pod is gone. 400: its container waits to start, or to start again.
        if answer.is_error and answer.status_code not in {400, 404}:
            raise ApiError(f"The log of {pod} cannot be read: {_message(answer)}")
        return "" if answer.is_error else answer.text

    def scale(self, deployment: str, replicas: int) -> None:
        """Set a Deployment's replicas."""
        path = f"{self._path('deployments', deployment)}/scale"
        patch = {"spec": {"replicas": replicas}}
        self._ask("PATCH", path, json=patch, headers={"Content-Type": MERGE})

    def proxied(self, path: str, params: Mapping[str, str]) -> httpx.Response:
        """What a Service answers that the API server asks for us."""
        return self._client.get(path, params=dict(params), headers=self._login())

    def _path(self, plural: str, name: str = "") -> str:
        path = f"{GROUPS[plural]}/namespaces/{self.namespace}/{plural}"
        return f"{path}/{name}" if name else path

    def _login(self) -> dict[str, str]:
        # Asked for each time: it renews a token that expires.
        login: dict[str, dict[str, str]] = self._settings.auth_settings()
        return {one["key"]: one["value"] for one in login.values()}

    def _ask(
        self,
        method: str,
        path: str,
        *,
        missing: bool = False,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Object | None:
        if method in {"POST", "PATCH"}:
            params = {"fieldManager": "serin-rollout"}
        try:
            answer = self._client.request(
                method, path, params=params, json=json, headers={**self._login(), **(headers or {})}
            )
            document: Object = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            said = str(error) or type(error).__name__
            raise ApiError(f"The Kubernetes API at {self._settings.host}: {said}") from error
        if answer.status_code == 404 and missing:
            return None
        if answer.is_error:
            kind = Conflict if answer.status_code == 409 else ApiError
            raise kind(f"The Kubernetes API refuses: {document.get('message', answer.text)}")
        return document


def _message(answer: httpx.Response) -> str:
    """Of a Status object, or the text that came in its place."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200] or str(answer.status_code)


def _trust(settings: Any) -> ssl.SSLContext | bool:
    if not settings.verify_ssl:
        return False
    context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context
