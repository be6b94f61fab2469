"""The console's Deployment in a cluster: applied for a test, and entered as people do."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import yaml

from controlplane.cluster.kubectl import Document, render
from tests.support.cluster import Cluster, wait
from tests.support.required import ROOT

PORT = 8090
SECONDS = 120
_DEPLOYMENT = "deployment/console"


def documents(folder: Path) -> list[Document]:
    """What the component adds to an overlay."""
    component = os.path.relpath(ROOT / "kserve" / "components" / "console", folder)
    kustomization = {"components": [component]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), "utf-8")
    return render(folder)


def put(cluster: Cluster, objects: list[Document]) -> None:
    """Apply objects, and wait until the console's one pod is of them."""
    cluster.api.apply(objects)
    status = ("-n", "models", "rollout", "status", _DEPLOYMENT, f"--timeout={SECONDS}s")
    cluster.kubectl(*status, seconds=SECONDS + 10)
    wait(lambda: len(pods(cluster)) == 1, SECONDS, "one pod of the console", cluster.pods)


def pods(cluster: Cluster) -> list[Any]:
    """Those of the console."""
    found: list[Any] = cluster.get("pods", "-l", "app.kubernetes.io/name=console")["items"]
    return found


@contextmanager
def entered(cluster: Cluster) -> Iterator[httpx.Client]:
    """By kubectl port-forward and the address that kubectl logs prints."""
    with ExitStack() as ends:
        port = ends.enter_context(cluster.api.forward("models", "service/console", PORT))
        told = partial(cluster.kubectl, "-n", "models", "logs", _DEPLOYMENT)
        wait(lambda: "?token=" in told(), SECONDS, "the console's address", told)
        base = f"http://127.0.0.1:{port}"
        options: dict[str, Any] = {"base_url": base, "trust_env": False, "timeout": 60.0}
        client = ends.enter_context(httpx.Client(**options, headers={"Origin": base}))
        token = told().split("?token=")[1].split()[0]
        wait(partial(opens, client, token), SECONDS, "the console to open")
        yield client


def opens(client: httpx.Client, token: str) -> bool:
    """Whether the token is traded for a cookie; its server may not listen yet."""
    try:
        return client.get("/", params={"token": token}).status_code == 303
    except httpx.TransportError:
        return False


def page(client: httpx.Client, path: str) -> str:
    """A page's text."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text[-2000:]
    return unescape(answer.text)
