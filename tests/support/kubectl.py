"""The real kubectl against a platform of a test."""

import json
import subprocess
from typing import Any

from tests.support import required
from tests.support.platform import Platform


class Kubectl:
    """kubectl against the platform."""

    def __init__(self, platform: Platform) -> None:
        self.program = required.binary("kubectl")
        self.kubeconfig = platform.home / "kubeconfig"

    def run(self, *arguments: str, text: str = "") -> str:
        """What it prints; its failure is the test's."""
        done = subprocess.run(
            [self.program, f"--kubeconfig={self.kubeconfig}", "-n", "models", *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0, f"kubectl {arguments}: {done.stderr}"
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """An object."""
        found: dict[str, Any] = json.loads(self.run("get", *arguments, "-o", "json"))
        return found

    def condition(self, name: str) -> str:
        """A condition's status of the ScaledObject."""
        status = self.get("scaledobject", "iris-predictor").get("status", {})
        return next((c["status"] for c in status.get("conditions", ()) if c["type"] == name), "")

    def replicas(self) -> int:
        """What the Deployment is told to have."""
        found: int = self.get("deployment", "iris-predictor")["spec"]["replicas"]
        return found
