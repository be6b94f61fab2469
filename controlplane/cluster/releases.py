"""Release manifests of others: from a folder (an air-gapped cluster), or from their pinned URLs."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from controlplane.cluster.kubectl import ClusterError, Document

ROOT = Path(__file__).parents[2]
VERSIONS = ROOT / "versions.env"
_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Release:
    """One project's manifest: its file in a folder, its URL, its names in versions.env."""

    file: str
    variable: str
    url: str

    @property
    def hash_variable(self) -> str:
        """Where versions.env keeps the sha256 of what the URL gives."""
        return self.variable.replace("_VERSION", "_MANIFEST_SHA256")


_GITHUB = "https://github.com"
GATEWAY = Release(
    "envoy-gateway.yaml",
    "ENVOY_GATEWAY_VERSION",
    f"{_GITHUB}/envoyproxy/gateway/releases/download/{{version}}/install.yaml",
)
KEDA = Release(
    "keda.yaml",
    "KEDA_VERSION",
    f"{_GITHUB}/kedacore/keda/releases/download/v{{version}}/keda-{{version}}.yaml",
)
PROMETHEUS_OPERATOR = Release(
    "prometheus-operator.yaml",
    "PROMETHEUS_OPERATOR_VERSION",
    f"{_GITHUB}/prometheus-operator/prometheus-operator/releases/download/{{version}}/bundle.yaml",
)
KSERVE = Release(
    "kserve.yaml",
    "KSERVE_VERSION",
    f"{_GITHUB}/kserve/kserve/releases/download/{{version}}/kserve.yaml",
)
ALL = (GATEWAY, KEDA, PROMETHEUS_OPERATOR, KSERVE)


def versions(path: Path = VERSIONS) -> dict[str, str]:
    """versions.env as a mapping."""
    lines = (line.split("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return dict(line.split("=", 1) for line in lines if line)


def load(release: Release, folder: Path | None) -> list[Document]:
    """A release's objects.

    Raises:
        ClusterError: the folder lacks it, or what the URL gives is not what was pinned.
    """
    if folder is not None:
        path = folder / release.file
        if not path.is_file():
            raise ClusterError(f"--manifests {folder} holds no {release.file}")
        text = path.read_text("utf-8")
    else:
        text = _download(release, versions())
    return [one for one in yaml.load_all(text, yaml.CSafeLoader) if one]


def fetch(url: str) -> bytes:
    """What a URL gives.

    Raises:
        ClusterError: it cannot be had.
    """
    try:
        answer = httpx.get(url, follow_redirects=True, timeout=_TIMEOUT_SECONDS)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise ClusterError(
            f"{url}: {error}. Without a way there, download the manifests elsewhere and name "
            "their folder: --manifests DIR"
        ) from error
    return answer.content


def _download(release: Release, pinned: Mapping[str, str]) -> str:
    wanted = pinned.get(release.hash_variable, "")
    url = release.url.format(version=pinned[release.variable])
    if not wanted:
        raise ClusterError(
            f"versions.env has no {release.hash_variable}: run ./setup_cluster.sh --pin where "
            f"{url} can be reached, and review the change; or use --manifests DIR"
        )
    content = fetch(url)
    found = hashlib.sha256(content).hexdigest()
    if found != wanted:
        raise ClusterError(
            f"{url}: expected sha256 {wanted[:12]}…, got {found[:12]}…; it is not what was pinned"
        )
    return content.decode()


def pin(path: Path = VERSIONS) -> list[str]:
    """Download each release at its pinned version and write its sha256 to versions.env.

    Returns:
        The lines written.
    """
    pinned = versions(path)
    written = []
    for release in ALL:
        content = fetch(release.url.format(version=pinned[release.variable]))
        written.append(f"{release.hash_variable}={hashlib.sha256(content).hexdigest()}")
    names = {line.split("=")[0] for line in written}
    kept = [
        line for line in path.read_text("utf-8").splitlines() if line.split("=")[0] not in names
    ]
    path.write_text("\n".join([*kept, *written]) + "\n", "utf-8")
    return written
