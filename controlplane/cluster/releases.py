"""Release manifests of others: from a folder (an air-gapped cluster), or from their pinned URLs."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from controlplane.cluster.kubectl import ClusterError, Document

ROOT = Path(__file__).parents[2]
VERSIONS = ROOT / "versions.env"
_TIMEOUT_SECONDS = 60
ADVICE = (
    "Fetch the four release manifests where they can be reached, put them into a folder and name "
    "that: --manifests DIR (docs/deploy.md, air-gapped)"
)


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


def load(
    release: Release, folder: Path | None, say: Callable[[str], None], *, write: bool = True
) -> list[Document]:
    """A release's objects.

    Args:
        release: whose.
        folder: where it lies; None for its URL.
        say: told when a release is pinned.
        write: whether one that is fetched for the first time is pinned in versions.env.

    Raises:
        ClusterError: the folder lacks it, or what the URL gives is not what was pinned.
    """
    if folder is not None:
        path = folder / release.file
        if not path.is_file():
            needed = ", ".join(one.file for one in ALL)
            raise ClusterError(f"--manifests {folder} holds no {release.file}; needed: {needed}")
        text = path.read_text("utf-8")
    else:
        text = _download(release, versions(), say, write=write)
    return [one for one in yaml.load_all(text, yaml.CSafeLoader) if one]


class UnreachableError(ClusterError):
    """A release's manifest cannot be had from its URL.

    Attributes:
        short: without what to do about it, where several are told together.
    """

    def __init__(self, url: str, reason: str) -> None:
        self.short = f"{url} cannot be fetched from here: {reason}"
        super().__init__(f"{self.short}. {ADVICE}")


def fetch(url: str) -> bytes:
    """What a URL gives.

    Raises:
        ClusterError: it cannot be had.
    """
    try:
        answer = httpx.get(url, follow_redirects=True, timeout=_TIMEOUT_SECONDS)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnreachableError(url, said) from error
    return answer.content


def _download(
    release: Release, pinned: Mapping[str, str], say: Callable[[str], None], *, write: bool
) -> str:
    url = release.url.format(version=pinned[release.variable])
    content = fetch(url)
    found = hashlib.sha256(content).hexdigest()
    wanted = pinned.get(release.hash_variable)
    if wanted is None and write:
        pin(release, found)
        say(
            f"fetched {url} for the first time: pinned as {release.hash_variable} in versions.env; "
            "review and commit that line, other downloads are refused from now on"
        )
    if wanted is not None and found != wanted:
        raise ClusterError(
            f"{url}: expected sha256 {wanted[:12]}…, got {found[:12]}…; it is not what was pinned. "
            f"Find out why. Where the version was changed on purpose: ./setup_cluster.sh --pin"
        )
    return content.decode()


def pin(release: Release, sha256: str, path: Path | None = None) -> None:
    """Write a release's sha256 to versions.env.

    Raises:
        ClusterError: the file cannot be written.
    """
    path = path or VERSIONS
    lines = path.read_text("utf-8").splitlines()
    kept = [line for line in lines if line.split("=")[0] != release.hash_variable]
    kept.append(f"{release.hash_variable}={sha256}")
    try:
        path.write_text("\n".join(kept) + "\n", "utf-8")
    except OSError as error:
        raise ClusterError(
            f"{path.name} cannot be written ({error.strerror}), and what is not pinned is not "
            f"installed: add {release.hash_variable}={sha256}, or use --manifests DIR"
        ) from error


def pin_all(path: Path | None = None) -> list[str]:
    """Fetch each release at the version that versions.env names, and pin it anew.

    Returns:
        The lines written.
    """
    pinned, written = versions(path or VERSIONS), []
    for release in ALL:
        content = fetch(release.url.format(version=pinned[release.variable]))
        sha256 = hashlib.sha256(content).hexdigest()
        pin(release, sha256, path)
        written.append(f"{release.hash_variable}={sha256}")
    return written
