"""The running platform's Kubernetes API, for verbs: as kubectl asks it, without kubectl."""

import ssl
from typing import Any, Self

import httpx

from controlplane import statefolder
from controlplane.errors import NotRunning, SerinError
from controlplane.local import client
from controlplane.local.api.access import NAMESPACE, access, port_of
from controlplane.statefolder import Home

_TIMEOUT_SECONDS = 20.0
_SERVICES = f"/apis/serving.kserve.io/v1beta1/namespaces/{NAMESPACE}/inferenceservices"
_SCALED_OBJECTS = f"/apis/keda.sh/v1alpha1/namespaces/{NAMESPACE}/scaledobjects"
_REPLICA_SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets"


class Kubernetes:
    """A client of the API that runs in a state folder.

    Raises:
        SerinError: None runs there.
    """

    def __init__(self, home: Home) -> None:
        port = port_of(home.kubeconfig)
        if port is None:
            raise NotRunning
        own = access(home)
        self._client = httpx.Client(
            base_url=f"https://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {own.token}"},
            verify=ssl.create_default_context(cafile=str(own.authority)),
            timeout=_TIMEOUT_SECONDS,
            trust_env=False,  # a proxy has no business with loopback
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def service(self, name: str) -> dict[str, Any]:
        """An InferenceService.

        Raises:
            SerinError: There is none of that name; names those there are.
        """
        listed: list[dict[str, Any]] = self._ask("GET", _SERVICES)["items"]
        services = {one["metadata"]["name"]: one for one in listed}
        if name not in services:
            raise client.unserved(name, services)
        return services[name]

    def replica_sets(self) -> list[dict[str, Any]]:
        """Those of every Deployment, with what each had served."""
        found: list[dict[str, Any]] = self._ask("GET", _REPLICA_SETS)["items"]
        return found

    def serve(self, name: str, storage_uri: str) -> None:
        """Have an InferenceService's predictor serve another version: what rolls it out."""
        model = {"model": {"storageUri": storage_uri}}
        self._ask("PATCH", f"{_SERVICES}/{name}", {"spec": {"predictor": model}})

    def remove(self, name: str) -> None:
        """Delete an InferenceService and its ScaledObjects, where they are there."""
        for path in (
            f"{_SERVICES}/{name}",
            *(f"{_SCALED_OBJECTS}/{name}{middle}-predictor" for middle in ("", "-canary")),
        ):
            self._ask("DELETE", path, missing_ok=True)

    def _ask(
        self, method: str, path: str, patch: object = None, *, missing_ok: bool = False
    ) -> dict[str, Any]:
        headers = {"Content-Type": "application/merge-patch+json"} if patch else {}
        try:
            answer = self._client.request(
                method,
                path,
                params={"fieldManager": "serin-rollback"} if patch else {},
                json=patch,
                headers=headers,
            )
        except httpx.TransportError as error:
            raise SerinError(
                f"The platform's API does not answer ({error}): see ./serin status."
            ) from error
        document: dict[str, Any] = answer.json()
        if answer.status_code == httpx.codes.NOT_FOUND and missing_ok:
            return {}
        if answer.is_error:
            raise SerinError(f"The platform's API refuses: {document.get('message', answer.text)}")
        return document


def withdraw(platform: client.Platform) -> list[str]:
    """Take back the models that `up` added and that have no version yet; their names.

    Raises:
        SerinError: The platform does not answer.
    """
    models = (client.status(platform.home) or {}).get("models", {})
    names = [name for name in platform.added if models.get(name, {}).get("state") == "Unpublished"]
    if not names:
        return []
    with statefolder.exclusive(platform.home):
        desired = statefolder.read_json(platform.home.desired)
        kept = {name: one for name, one in desired["models"].items() if name not in names}
        statefolder.write_json(platform.home.desired, {**desired, "models": kept})
    with Kubernetes(platform.home) as api:
        for name in names:
            api.remove(name)
    return names
