"""A container as a process of this machine: its command, its environment, its last words."""

import json
import os
import secrets
import sys
from pathlib import Path

from controlplane import parts
from controlplane.kubernetes.meta import Object
from controlplane.local.api.access import access, port_of
from controlplane.local.controllers.plan import MODEL_FOLDER, DeploymentPlan
from controlplane.statefolder import Home


def predictor(
    deployment: DeploymentPlan, folder: Path, http_port: int, grpc_port: int
) -> list[str]:
    """The container's command and arguments with this machine's folder and ports in them.

    Flags that the manifest leaves at their defaults are added: a later flag wins.
    """
    container = deployment.container
    first, *rest = _words(deployment)
    program = sys.executable if first in {"python", "python3"} else first
    ours = {"model_dir": str(folder), "http_port": str(http_port), "grpc_port": str(grpc_port)}
    kept = [arg for arg in container.args if arg.lstrip("-").split("=", 1)[0] not in ours]
    return [
        program,
        *rest,
        *(arg.replace(MODEL_FOLDER, str(folder)) for arg in kept),
        *(f"--{name}={value}" for name, value in ours.items()),
    ]


def is_ours(deployment: DeploymentPlan) -> bool:
    """Whether its command is a predictor of this repository's, which knows SIGINT."""
    _, *rest = _words(deployment)
    return rest[:1] == ["-m"] and "".join(rest[1:2]).startswith("predictors.")


def job(words: list[str]) -> list[str]:
    """A Job's command: this machine's Python, after what its training script needs is installed."""
    program, *rest = words
    if program in {"python", "python3"}:
        program = sys.executable
    command = [program, *rest]
    if rest[:1] == ["-m"] and len(rest) > 1 and rest[1].startswith("training."):
        model = rest[1].removeprefix("training.").replace("_", "-")
        return parts.installing(f"train-{model}", command)
    return command


def suffix() -> str:
    """Five letters and digits without vowels, as Kubernetes ends a pod's name."""
    return "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))


def last_error(log: str) -> str:
    """Why a predictor gave up: its last ERROR line's event, or what is no record."""
    plain = ""
    for line in reversed(log.splitlines()):
        try:
            record = json.loads(line)
        except ValueError:
            plain = plain or line.strip()
            continue
        if isinstance(record, dict) and record.get("level") in {"ERROR", "CRITICAL"}:
            return str(record.get("event", "")).strip()
    return plain


def _words(deployment: DeploymentPlan) -> tuple[str, ...]:
    return deployment.container.command or ("python", "-m", f"predictors.{_module(deployment)}")


def _module(deployment: DeploymentPlan) -> str:
    return deployment.service.replace("-", "_")


def account(pod: Object, home: Home) -> dict[str, str]:
    """How a pod that asks for its account's token reaches the API; nothing is mounted here.

    The folder has the names of the one that a kubelet mounts: `token` and `ca.crt`.
    """
    port = port_of(home.kubeconfig)
    if pod["spec"].get("automountServiceAccountToken") is not True or port is None:
        return {}
    return {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(port),
        "SERVICE_ACCOUNT_FOLDER": str(access(home).authority.parent),
    }


def inherited() -> dict[str, str]:
    """This process's environment without what a pod has not: S3 keys, settings, another API."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "SERIN_", "RCLONE_", "PREDICTOR_", "KUBERNETES_SERVICE_"))
    }
