"""A kind cluster of our own: made, filled with the images built here, and deleted."""

import shutil
import subprocess
from collections.abc import Callable, Sequence

from controlplane.cluster.kubectl import ClusterError
from controlplane.cluster.steps import ROOT

NAME = "serin"
CONTEXT = f"kind-{NAME}"
_CREATE_SECONDS = 300
_BUILD_SECONDS = 1800


def is_there() -> bool:
    """Whether the cluster is; not where there is no kind."""
    return shutil.which("kind") is not None and NAME in _clusters()


def _clusters() -> list[str]:
    return _run(["kind", "get", "clusters"], 60).split()


def create(say: Callable[[str], None]) -> str:
    """Make the cluster unless it is there.

    Returns:
        The name of its context.
    """
    if NAME not in _clusters():
        say(f"kind: creating cluster {NAME}")
        _run(["kind", "create", "cluster", "--name", NAME, "--wait", "120s"], _CREATE_SECONDS)
    return CONTEXT


def delete(say: Callable[[str], None], *, dry_run: bool = False) -> None:
    """Delete the cluster, with all that is in it; or say so."""
    if dry_run:
        say(f"kind: would delete cluster {NAME}")
        return
    _run(["kind", "delete", "cluster", "--name", NAME], _CREATE_SECONDS)
    say(f"kind: cluster {NAME} deleted")


def load_images(models: Sequence[str], say: Callable[[str], None]) -> None:
    """Build each model's two images with docker and put them on the node."""
    for model in models:
        for folder, name in (("predictors", model), ("training", f"train-{model}")):
            load_image(name, folder, say, "--build-arg", f"MODEL={model}")


def load_image(name: str, folder: str, say: Callable[[str], None], *options: str) -> None:
    """Build a folder's image with docker and put it on the node."""
    tag = f"docker.io/serin/{name}:dev"
    say(f"kind: building {tag}")
    arguments = ["-f", f"{folder}/Dockerfile", *options]
    _run(["docker", "build", "-q", "-t", tag, *arguments, "."], _BUILD_SECONDS)
    _run(["kind", "load", "docker-image", tag, "--name", NAME], _CREATE_SECONDS)


def _run(command: Sequence[str], seconds: float) -> str:
    if shutil.which(command[0]) is None:
        raise ClusterError(f"--kind needs {command[0]} on PATH")
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{' '.join(command[:3])} did not end within {seconds:.0f} s") from None
    if done.returncode:
        raise ClusterError(f"{' '.join(command[:3])}: {done.stderr.strip()[-1000:]}")
    return done.stdout
