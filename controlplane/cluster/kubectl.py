"""kubectl as functions: get, apply, delete, wait; every call has a timeout."""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from controlplane.errors import SerinError

Document = dict[str, Any]
APPLY_SECONDS = 180
FIRST_STRICT_MINOR = 25  # kubectl 1.25 has --validate=strict
_POLL_SECONDS = 0.5
TELL_SECONDS = 30.0
"""Between two lines of a wait that goes on."""
# What the API server says while something that was just installed is still starting, or while it
# has too much to do: what is asked again is the same.
_TRANSIENT = (
    "failed calling webhook",
    "no matches for kind",
    "ensure CRDs are installed first",
    "connection refused",
    "the server is currently unable to handle the request",
    "context deadline exceeded",
    "etcdserver: request timed out",
    "TLS handshake timeout",
    "i/o timeout",
    "too many requests",
    "did not end within",
)


class ClusterError(SerinError):
    """The cluster refused, or did not get there in time; the message names what was waited for."""


class Kubectl:
    """One cluster, by the name of its context; None is the current one of the environment."""

    def __init__(self, context: str | None, environment: Mapping[str, str] | None = None) -> None:
        self._command = ["kubectl", *([f"--context={context}"] if context else [])]
        self._environment = None if environment is None else dict(environment)

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """What kubectl prints.

        Raises:
            ClusterError: it failed, with its own words.
        """
        try:
            done = subprocess.run(
                [*self._command, *arguments],
                env=self._environment,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except FileNotFoundError:
            raise ClusterError("kubectl is not on PATH: install it first") from None
        except subprocess.TimeoutExpired:
            raise ClusterError(
                f"kubectl {' '.join(arguments[:3])} did not end within {timeout:.0f} s: does the "
                "cluster answer?"
            ) from None
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments[:3])}: {done.stderr.strip()}")
        return done.stdout

    def require(self, minor: int) -> None:
        """Refuse a kubectl that does not know what is asked of it.

        Raises:
            ClusterError: it is older than 1.`minor`.
        """
        known = json.loads(self.run("version", "--client", "-o", "json"))["clientVersion"]
        if int(known["minor"].rstrip("+")) < minor:
            raise ClusterError(
                f"kubectl is {known['gitVersion']}: install 1.{minor} or newer "
                "(https://kubernetes.io/docs/tasks/tools/)"
            )

    def get(self, *arguments: str) -> Document | None:
        """An object, or a list of them; None where there is none, or no such kind."""
        try:
            answer: Document = json.loads(self.run("get", *arguments, "-o", "json"))
        except ClusterError as error:
            if "NotFound" in str(error) or "the server doesn't have a resource type" in str(error):
                return None
            raise
        return answer

    def items(self, *arguments: str) -> list[Document]:
        """The objects of a list; none where there is no such kind."""
        found: list[Document] = (self.get(*arguments) or {}).get("items", [])
        return found

    def apply(self, documents: Sequence[Document], seconds: float = APPLY_SECONDS) -> None:
        """Server-side apply: definitions and namespaces first, then the rest; strictly.

        Repeated while something just installed, a webhook above all, is still starting.
        """
        first = [one for one in documents if one["kind"] == "CustomResourceDefinition"]
        if first:
            self._apply(first, seconds)
            names = {one["metadata"]["name"] for one in first}
            wait_until(
                f"{len(names)} definitions to be established",
                seconds,
                lambda: names <= self._established(),
            )
        second = [one for one in documents if one["kind"] == "Namespace"]
        rest = [one for one in documents if one not in first and one not in second]
        for group in (second, rest):
            if group:
                self._apply(group, seconds)

    def _established(self) -> set[str]:
        return {
            one["metadata"]["name"]
            for one in self.items("crd")
            for condition in (one.get("status") or {}).get("conditions") or ()
            if condition["type"] == "Established" and condition["status"] == "True"
        }

    def _apply(self, documents: Sequence[Document], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        text = yaml.dump_all(documents, Dumper=yaml.CSafeDumper, sort_keys=False)
        while True:
            try:
                self.run(
                    *("apply", "--server-side", "--force-conflicts", "--field-manager=serin"),
                    *("--validate=strict", "-f", "-"),
                    stdin=text,
                    timeout=120,
                )
            except ClusterError as error:
                patient = any(sign in str(error) for sign in _TRANSIENT)
                if not patient or time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_SECONDS)
            else:
                return

    def delete(self, documents: Sequence[Document], seconds: float, *, wait: bool = True) -> None:
        """Delete what is there of these and, unless told not to, wait until it is gone."""
        text = yaml.dump_all(documents, Dumper=yaml.CSafeDumper, sort_keys=False)
        limits = (f"--timeout={seconds:.0f}s", f"--wait={str(wait).lower()}")
        try:
            self.run(
                *("delete", "--ignore-not-found", *limits, "-f", "-"),
                stdin=text,
                timeout=seconds + 30,
            )
        except ClusterError as error:
            if "no matches for kind" not in str(error):  # its definition is gone: so is it
                raise

    @contextlib.contextmanager
    def forward(self, namespace: str, target: str, port: int) -> Iterator[int]:
        """A loopback port that leads to a Service's; kubectl port-forward while the block runs."""
        command = [*self._command, "-n", namespace, "port-forward", target, f":{port}"]
        with subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None  # noqa: S101 - a pipe was asked for
                line = process.stdout.readline()  # Forwarding from 127.0.0.1:40123 -> 9000
                if not line:
                    raise ClusterError(f"kubectl port-forward {target} ended at once")
                yield int(line.split(" -> ")[0].rpartition(":")[2])
            finally:
                process.terminate()


def render(folder: Path) -> list[Document]:
    """The objects of a kustomization.

    Raises:
        ClusterError: kustomize refuses it.
    """
    text = Kubectl(None).run("kustomize", str(folder))
    return list(yaml.load_all(text, yaml.CSafeLoader))


class Absent(Kubectl):
    """A cluster that is not there yet: nothing is in it, and nothing can be put there."""

    def get(self, *_arguments: str) -> Document | None:
        """Nothing."""
        return None


def wait_until(
    what: str,
    seconds: float,
    condition: Callable[[], bool],
    why: Callable[[], str] = lambda: "",
    say: Callable[[str], None] = lambda _line: None,
) -> None:
    """Poll until `condition()`; past the deadline say what was waited for, and why it is not so.

    Twice a minute `say` is told that the wait goes on, and why.

    Raises:
        ClusterError: it is not so within `seconds`.
    """
    begun = time.monotonic()
    tell = begun + TELL_SECONDS
    while not condition():
        now = time.monotonic()
        if now - begun > seconds:
            raise ClusterError(f"waited {seconds:.0f} s for {what}. {why()}".strip())
        if now >= tell:
            tell = now + TELL_SECONDS
            say(f"waiting for {what}, {now - begun:.0f} s so far. {why()}".strip())
        time.sleep(_POLL_SECONDS)
