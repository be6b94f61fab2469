"""What accepted Jobs do: each effect that once differed from a real cluster's, side by side.

Applied all at once; what a cluster refuses is refused, and what a laptop cannot do is refused too.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support import trained
from tests.support.kubectl import Kubectl
from tests.support.platform import Platform, wait_for

SECONDS = 90
BYTES = base64.b64encode(bytes(range(256))).decode()
LISTS = (
    "import os, sys; print(sorted((os.path.relpath(os.path.join(at, file), sys.argv[1]), "
    "os.path.getsize(os.path.join(at, file))) for at, dirs, files in os.walk(sys.argv[1]) "
    "for file in files))"
)
WRITES = (
    "import sys; open(sys.argv[1].split('=')[1], 'w').close(); "
    "print(open(sys.argv[2] + '/out').read() == '')"
)
OBJECTS = (
    {"kind": "Secret", "metadata": {"name": "bytes"}, "data": {"keystore.p12": BYTES}},
    {
        "kind": "Secret",
        "metadata": {"name": "mixed"},
        "data": {"PW": base64.b64encode(b"hello").decode(), "keystore.p12": BYTES},
    },
    {"kind": "Secret", "metadata": {"name": "texts"}, "stringData": {"txt": "hello", "b": "x"}},
    {
        "kind": "ConfigMap",
        "metadata": {"name": "files"},
        "data": {"a.txt": "a", "b.txt": "bb"},
        "binaryData": {"img.png": BYTES},
    },
)


@dataclass(frozen=True)
class Case:
    """A Job and what becomes of it in a cluster."""

    script: str = "true"
    container: dict[str, Any] = field(default_factory=dict)
    pod: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    template: dict[str, Any] = field(default_factory=dict)
    refused: str = ""
    """Why it is not taken; else how it ends:"""
    reason: str = "CompletionsReached"
    pods: int = 1
    log: str | None = None

    def job(self, name: str) -> dict[str, Any]:
        """The manifest."""
        main = {"name": "main", "image": "busybox", "command": ["sh", "-c", self.script]}
        pod = {"restartPolicy": "Never", "containers": [main | self.container], **self.pod}
        spec = {"backoffLimit": 0, "template": {"metadata": self.template, "spec": pod}}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": "models"},
            "spec": spec | self.spec,
        }


def mounted(volume: dict[str, Any], script: str = LISTS) -> dict[str, Any]:
    """A container and a pod with a volume at /data, that a line of Python looks at."""
    mounts = [{"name": "w", "mountPath": "/data"}]
    container = {"command": ["python3", "-c", script], "args": ["/data"], "volumeMounts": mounts}
    return {"container": container, "pod": {"volumes": [{"name": "w", **volume}]}}


def variable(**content: Any) -> dict[str, Any]:
    """A container with one variable."""
    return {"env": [{"name": "A", **content}]}


def reference(path: str) -> dict[str, Any]:
    """A variable's value from a field of the pod."""
    return {"valueFrom": {"fieldRef": {"fieldPath": path}}}


FIELDS = {
    "B": "metadata.labels['team']",
    "C": "metadata.labels['app.kubernetes.io/name']",
    "D": "metadata.annotations['note']",
    "E": "metadata.namespace",
}
EXIT_42 = {"operator": "In", "values": [42]}
CASES = {
    "secret-volume": Case(
        **mounted({"secret": {"secretName": "bytes"}}), log="[('keystore.p12', 256)]\n"
    ),
    "secret-one-binary-key": Case(
        "echo PW=$A",
        variable(valueFrom={"secretKeyRef": {"name": "mixed", "key": "PW"}}),
        log="PW=hello\n",
    ),
    "secret-env-from": Case(
        "echo PW=$PW", {"envFrom": [{"secretRef": {"name": "mixed"}}]}, reason="StartError"
    ),
    "env-nul": Case("true", variable(value="a\0b"), reason="StartError"),
    "env-name": Case(
        "env", {"env": [{"name": "A=B", "value": "1"}]}, refused="a valid environment variable"
    ),
    "empty-value-from": Case("env", variable(valueFrom={}), refused="must specify one of"),
    "init": Case(
        "cat /data/x; echo main",
        {"volumeMounts": [{"name": "w", "mountPath": "/data"}]},
        {
            "volumes": [{"name": "w", "emptyDir": {}}],
            "initContainers": [
                {
                    "name": "prep",
                    "image": "busybox",
                    "command": ["sh", "-c", "echo prepared > /data/x"],
                    "volumeMounts": [{"name": "w", "mountPath": "/data"}],
                }
            ],
        },
        log="prepared\nmain\n",
    ),
    "indexed": Case(
        "echo index=$JOB_COMPLETION_INDEX",
        spec={"completionMode": "Indexed", "completions": 1},
        log="index=0\n",
    ),
    "per-index": Case(
        spec={"completionMode": "Indexed", "completions": 1, "backoffLimitPerIndex": 1},
        refused="a laptop runs one pod of a Job at a time",
    ),
    "no-parallelism": Case(spec={"parallelism": 0}, reason="", pods=0),
    "no-completions": Case(spec={"completions": 0}, pods=0),
    "suspended": Case(spec={"suspend": True}, reason="JobSuspended", pods=0),
    "ignored-code": Case(
        "exit 42",
        spec={"podFailurePolicy": {"rules": [{"action": "Ignore", "onExitCodes": EXIT_42}]}},
        reason="",
        pods=3,
    ),
    "policy-of-the-documents": Case(
        "echo hello; exit 42",
        spec={
            "backoffLimit": 6,
            "podFailurePolicy": {
                "rules": [
                    {"action": "FailJob", "onExitCodes": {"containerName": "main", **EXIT_42}},
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
                ]
            },
        },
        reason="PodFailurePolicy",
        log="hello\n",
    ),
    "pods-deadline": Case(
        "trap 'exit 0' TERM; sleep 600 & wait",
        pod={"activeDeadlineSeconds": 1},
        reason="BackoffLimitExceeded",
    ),
    "jobs-deadline": Case(
        "exec sleep 600", spec={"activeDeadlineSeconds": 1}, reason="DeadlineExceeded"
    ),
    "field-references": Case(
        "env | grep -E '^[B-E]=' | sort",
        {"env": [{"name": name, **reference(path)} for name, path in FIELDS.items()]},
        template={
            "labels": {"team": "ml", "app.kubernetes.io/name": "iris"},
            "annotations": {"note": "hi"},
        },
        log="B=ml\nC=iris\nD=hi\nE=models\n",
    ),
    "pods-address-and-node": Case(
        'test -n "$A$NODE" && echo "$A"',
        {
            "env": [
                {"name": "A", **reference("status.podIP")},
                {"name": "NODE", **reference("spec.nodeName")},
            ]
        },
        log="127.0.0.1\n",
    ),
    "bare-labels": Case(
        "env", variable(**reference("metadata.labels")), refused="Unsupported value"
    ),
    "working-folder": Case("pwd", {"workingDir": "/tmp"}, log="/tmp\n"),  # noqa: S108
    "flag-with-a-path": Case(
        container={
            "command": ["python3", "-c"],
            "args": [
                WRITES,
                "--out=/data/out",
                "/data",
            ],
            "volumeMounts": [{"name": "w", "mountPath": "/data"}],
        },
        pod={"volumes": [{"name": "w", "emptyDir": {}}]},
        log="True\n",
    ),
    "path-in-a-shell": Case(
        "echo x > /data/x; cd /data && ls",
        {"volumeMounts": [{"name": "w", "mountPath": "/data"}]},
        {"volumes": [{"name": "w", "emptyDir": {}}]},
        log="x\n",
    ),
    "config-map": Case(
        **mounted({"configMap": {"name": "files"}}),
        log="[('a.txt', 1), ('b.txt', 2), ('img.png', 256)]\n",
    ),
    "config-map-items": Case(
        **mounted(
            {"configMap": {"name": "files", "items": [{"key": "a.txt", "path": "only.txt"}]}}
        ),
        log="[('only.txt', 1)]\n",
    ),
    "secret-items": Case(
        **mounted({"secret": {"secretName": "texts", "items": [{"key": "txt", "path": "dir/r"}]}}),
        log="[('dir/r', 5)]\n",
    ),
    "optional": Case(
        **mounted({"configMap": {"name": "is-not-there", "optional": True}}), log="[]\n"
    ),
    "labels-of-another": Case(
        template={"labels": {"batch.kubernetes.io/controller-uid": "another"}},
        spec={"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "another"}}},
        refused="metadata.labels",
    ),
    "indexed-without-completions": Case(
        spec={"completionMode": "Indexed", "completions": None}, refused=""
    ),
    "dotted-variable": Case(
        container={"command": ["printenv", "a.b"], "env": [{"name": "a.b", "value": "c"}]},
        log="c\n",
    ),
}
ENDING = {name: case for name, case in CASES.items() if not case.refused}
REFUSED = {name: case for name, case in CASES.items() if case.refused}


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """Kubectl, and a platform with every Job that it takes."""
    platform = Platform(tmp_path_factory.mktemp("effects") / "state")
    platform.publish(trained.brief("iris"))
    try:
        platform.serin("up", "iris")
        kubectl = Kubectl(platform)
        jobs = [case.job(name) for name, case in ENDING.items()]
        every = [{"apiVersion": "v1", **one} for one in OBJECTS] + jobs
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": every})
        kubectl.run("apply", "-n", "models", "-f", "-", text=text)
        yield kubectl
    finally:
        platform.serin("down")


@pytest.mark.parametrize("name", ENDING)
def test_an_accepted_job_does_what_it_does_in_a_cluster(kubectl: Kubectl, name: str) -> None:
    """How it ends, how many pods it had, and what they printed."""
    case = ENDING[name]

    def reached() -> bool:
        job = kubectl.get(f"job/{name}")
        reasons = [one["reason"] for one in (job.get("status") or {}).get("conditions", ())]
        pods = kubectl.get("pods", "-l", f"job-name={name}")["items"]
        if case.reason == "StartError":
            states = [pod["status"]["containerStatuses"][0]["state"] for pod in pods]
            ended = [(state.get("terminated") or {}).get("exitCode") for state in states]
            return reasons[-1:] == ["BackoffLimitExceeded"] and ended == [128]
        known = reasons[-1:] == ([case.reason] if case.reason else [])
        return known and len(pods) >= case.pods

    wait_for(reached, SECONDS, f"{name} to end as in a cluster")
    pods = kubectl.get("pods", "-l", f"job-name={name}")["items"]
    if case.reason:
        assert len(pods) == case.pods
    if case.log is not None:
        assert kubectl.out("logs", f"job/{name}") == case.log


@pytest.mark.parametrize("name", REFUSED)
def test_a_job_that_is_refused_says_why(kubectl: Kubectl, name: str) -> None:
    """In the cluster's words, or with the laptop's limit."""
    case = REFUSED[name]
    done = kubectl.run("apply", "-f", "-", text=json.dumps(case.job(name)), expect=1)

    assert case.refused in done.stderr


def test_a_jobs_start_cannot_be_taken_from_its_status(kubectl: Kubectl) -> None:
    """It ended the platform once."""
    job = Case("exec sleep 600").job("begun")
    kubectl.run("apply", "-f", "-", text=json.dumps(job))
    wait_for(lambda: "startTime" in (kubectl.get("job/begun").get("status") or {}), SECONDS, "it")
    cleared = ("--subresource=status", "--type=merge", "-p", '{"status": {"startTime": null}}')

    done = kubectl.run("patch", "job/begun", *cleared, expect=1)

    assert "startTime cannot be removed for unsuspended job" in done.stderr
    kubectl.run("delete", "job/begun", "--wait=false")


@pytest.mark.parametrize("text", ["YWE", "a-_b", "%%%"])
def test_base64_that_is_none_is_refused(kubectl: Kubectl, text: str) -> None:
    """Unpadded, in the URL's alphabet, and nonsense."""
    named = {"name": "no", "namespace": "models"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": named, "data": {"a": text}}

    done = kubectl.run("apply", "-f", "-", text=json.dumps(secret), expect=1)

    assert "illegal base64 data at input byte" in done.stderr
