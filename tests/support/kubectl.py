"""The real kubectl against a platform of a test's own."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.support.platform import ROOT, Platform
from tests.support.required import binary

SECONDS = 60


@dataclass(frozen=True)
class Kubectl:
    """Runs kubectl with the platform's kubeconfig."""

    platform: Platform

    @property
    def env(self) -> dict[str, str]:
        """Its environment: the kubeconfig, and a cache of its own."""
        home = self.platform.home
        return {
            **os.environ,
            "KUBECONFIG": str(home / "kubeconfig"),
            "KUBECACHEDIR": str(home.parent / "kubectl-cache"),
        }

    def run(
        self, *arguments: str | Path, expect: int = 0, text: str | None = None, **env: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run kubectl to its end and check its exit code."""
        done = subprocess.run(
            [binary("kubectl"), *map(str, arguments)],
            input=text,
            env=self.env | env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == expect, f"kubectl {arguments}: {done}\n{self.platform.log()}"
        return done

    def out(self, *arguments: str | Path) -> str:
        """What kubectl prints."""
        return self.run(*arguments).stdout

    def get(self, *what: str) -> dict[str, Any]:
        """An object."""
        found: dict[str, Any] = orjson.loads(self.out("get", *what, "-o", "json"))
        return found

    def patch(self, what: str, spec: dict[str, Any]) -> None:
        """Merge something into an object's spec."""
        self.run("patch", what, "--type", "merge", "-p", orjson.dumps({"spec": spec}).decode())

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start kubectl; the caller ends it."""
        return subprocess.Popen(
            [binary("kubectl"), *arguments],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def weights(self, model: str = "iris") -> dict[str, int]:
        """The weights of a model's HTTPRoute."""
        rules = self.get(f"httproute/{model}")["spec"]["rules"]
        return {one["name"]: one["weight"] for one in rules[-1]["backendRefs"]}

    def condition(self, kind: str) -> str:
        """A condition's status of iris's ScaledObject."""
        status = self.get("scaledobject/iris-predictor").get("status", {})
        return next((c["status"] for c in status.get("conditions", ()) if c["type"] == kind), "")

    def replicas(self) -> int:
        """What iris's Deployment is told to have."""
        found: int = self.get("deployment/iris-predictor")["spec"]["replicas"]
        return found
