"""What a container asks for, as a process of this machine: its words, variables and folders."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controlplane.errors import ManifestError
from controlplane.local.node import environment, volumes
from controlplane.local.node.environment import Find, Tree
from controlplane.statefolder import ROOT, Home


@dataclass(frozen=True, slots=True)
class Prepared:
    """A container whose variables are known and whose volumes are there."""

    command: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str]
    folder: Path
    """Where it is started."""


def prepare(container: Tree, pod: Tree, home: Home, find: Find) -> Prepared:
    """Make a container's volumes and read its variables.

    Args:
        container: One of the pod's.
        pod: The pod.
        home: Its state folder has the volumes.
        find: Finds Secrets and ConfigMaps.

    Raises:
        ManifestError: It asks for what is not there; a kubelet would wait for it.
    """
    variables = environment.variables(container, pod, find)
    own = own_volumes(home, pod["metadata"]["name"])
    mounts = volumes.mounted(container, pod, own, home.path / "claims", find, variables)

    def here(words: Tree | tuple[str, ...]) -> tuple[str, ...]:
        return tuple(volumes.moved(environment.expanded(word, variables), mounts) for word in words)

    env = {name: volumes.moved(value, mounts) for name, value in variables.items()}
    if "/tmp" in mounts:  # noqa: S108  the container's
        env = {"TMPDIR": str(mounts["/tmp"]), **env}  # noqa: S108  the container's
    command, args = here(container.get("command") or ()), here(container.get("args") or ())
    folder = ROOT
    if asked := container.get("workingDir"):
        folder = Path(volumes.moved(asked, mounts))
        if str(folder) != asked:
            folder.mkdir(parents=True, exist_ok=True)  # as a container's runtime does
        if not folder.is_dir():
            raise ManifestError(f"has workingDir {asked}, which is no folder of this machine")
    return Prepared(command, args, env, folder)


def own_volumes(home: Home, pod: str) -> Path:
    """Where the volumes are that go with a pod."""
    return home.path / "volumes" / pod
