"""What a Job asks for is what it gets: each field by its effect, with real processes."""

import json
from typing import Any

import pytest

from tests.support.kubectl import Kubectl
from tests.support.platform import wait_for

SECONDS = 60


def apply(
    kubectl: Kubectl,
    name: str,
    script: str,
    *,
    pod: dict[str, Any] | None = None,
    container: dict[str, Any] | None = None,
    **spec: Any,
) -> str:
    """Apply a Job that runs a line of shell; what kubectl warns of."""
    main = {"name": "main", "image": "i", "command": ["sh", "-c", script], **(container or {})}
    template = {"spec": {"restartPolicy": "Never", "containers": [main], **(pod or {})}}
    one = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "models"},
        "spec": {"backoffLimit": 0, "template": template, **spec},
    }
    return kubectl.run("apply", "-f", "-", text=json.dumps(one)).stderr


def ended(kubectl: Kubectl, name: str, kind: str = "Complete") -> dict[str, Any]:
    """The Job's status once it has a condition."""
    kubectl.run("wait", f"--for=condition={kind}", f"job/{name}", f"--timeout={SECONDS}s")
    status: dict[str, Any] = kubectl.get(f"job/{name}")["status"]
    return status


def pods(kubectl: Kubectl, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kubectl.get("pods", "-l", f"job-name={name}")["items"]
    return found


def reason(status: dict[str, Any]) -> str:
    return str(status["conditions"][-1]["reason"])


def test_init_containers_run_first(kubectl: Kubectl) -> None:
    """One after another, on the volumes of the pod; each has a log of its own."""
    mount = {"volumeMounts": [{"name": "w", "mountPath": "/scratch"}]}
    first = [
        {
            "name": name,
            "image": "i",
            "command": ["sh", "-c", f"echo {name} >> /scratch/x; echo I am {name}"],
            **mount,
        }
        for name in ("one", "two")
    ]
    volumes = [{"name": "w", "emptyDir": {}}]
    pod = {"initContainers": first, "volumes": volumes}
    apply(kubectl, "init", "cat /scratch/x; echo main", pod=pod, container=mount)

    ended(kubectl, "init")

    assert kubectl.out("logs", "job/init").split() == ["one", "two", "main"]
    assert kubectl.out("logs", "job/init", "-c", "two").strip() == "I am two"
    (made,) = pods(kubectl, "init")
    states = [one["state"] for one in made["status"]["initContainerStatuses"]]
    assert [state["terminated"]["exitCode"] for state in states] == [0, 0]


def test_an_init_container_that_fails_fails_the_pod(kubectl: Kubectl) -> None:
    """The main container is never started; a rule may name the one that failed."""
    first = [{"name": "prep", "image": "i", "command": ["sh", "-c", "exit 7"]}]
    rule = {"operator": "In", "values": [7], "containerName": "prep"}
    policy = {"rules": [{"action": "FailJob", "onExitCodes": rule}]}
    apply(
        *(kubectl, "initfails", "echo main"),
        pod={"initContainers": first},
        backoffLimit=3,
        podFailurePolicy=policy,
    )

    status = ended(kubectl, "initfails", "Failed")

    assert (reason(status), len(pods(kubectl, "initfails"))) == ("PodFailurePolicy", 1)
    assert "main" not in kubectl.out("logs", "job/initfails")
    assert "Init:Error" in kubectl.out("get", "pods", "-l", "job-name=initfails")


def test_a_running_job_can_be_suspended_and_resumed(kubectl: Kubectl) -> None:
    """Its pod goes and counts as nothing; resumed, it begins anew."""
    apply(kubectl, "pauses", "echo begun; exec sleep 600")
    wait_for(lambda: "begun" in kubectl.out("logs", "job/pauses"), SECONDS, "the pod")

    kubectl.patch("job/pauses", {"suspend": True})
    status = ended(kubectl, "pauses", "Suspended")
    wait_for(lambda: not pods(kubectl, "pauses"), SECONDS, "the pod to go")

    assert reason(status) == "JobSuspended"
    assert not {"active", "failed", "startTime"} & kubectl.get("job/pauses")["status"].keys()
    assert "Suspended" in kubectl.out("get", "job", "pauses")
    kubectl.patch("job/pauses", {"suspend": False})
    wait_for(lambda: len(pods(kubectl, "pauses")) == 1, SECONDS, "another pod")
    (resumed,) = kubectl.get("job/pauses")["status"]["conditions"]
    assert (resumed["status"], resumed["reason"]) == ("False", "JobResumed")
    kubectl.run("delete", "job/pauses")


def test_a_job_for_no_pod_has_none(kubectl: Kubectl) -> None:
    """Parallelism 0 waits, completions 0 is done at once, and somebody else's Job is theirs."""
    apply(kubectl, "none", "echo ran", completions=0)
    apply(kubectl, "waits", "echo ran", parallelism=0)
    apply(kubectl, "others", "echo ran", managedBy="example.org/controller")

    status = ended(kubectl, "none")

    assert "succeeded" not in status
    assert [pods(kubectl, name) for name in ("none", "waits", "others")] == [[], [], []]
    assert not kubectl.get("job/waits")["status"].get("conditions")
    kubectl.patch("job/waits", {"parallelism": 1})
    ended(kubectl, "waits")
    assert kubectl.out("logs", "job/waits") == "ran\n"


def test_an_ignored_failure_counts_as_nothing(kubectl: Kubectl) -> None:
    """It is tried again and again, with pauses; the first rule that holds decides."""
    rules = [
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [1]}},
    ]
    apply(kubectl, "ignored", "exit 42", podFailurePolicy={"rules": rules})

    wait_for(lambda: len(pods(kubectl, "ignored")) > 2, SECONDS, "more tries")

    status = kubectl.get("job/ignored")["status"]
    assert not status.get("conditions")
    assert not status.get("failed")
    kubectl.run("delete", "job/ignored")


def test_a_pods_own_deadline_fails_it(kubectl: Kubectl) -> None:
    """An exit code of 0 after it does not save the pod."""
    script = "trap 'exit 0' TERM; sleep 600 & wait"
    apply(kubectl, "late", script, pod={"activeDeadlineSeconds": 1})

    status = ended(kubectl, "late", "Failed")

    assert reason(status) == "BackoffLimitExceeded"
    (pod,) = pods(kubectl, "late")
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "DeadlineExceeded")


@pytest.mark.parametrize("command", [["/no/such/program"], ["printenv", "A\0B"]])
def test_what_cannot_be_started_fails(kubectl: Kubectl, command: list[str]) -> None:
    """As in a cluster: StartError, exit code 128; and nothing else is harmed."""
    name = f"start{len(command)}"
    apply(kubectl, name, "", container={"command": command})

    status = ended(kubectl, name, "Failed")

    assert reason(status) == "BackoffLimitExceeded"
    (pod,) = pods(kubectl, name)
    (container,) = pod["status"]["containerStatuses"]
    told = container["state"]["terminated"]
    assert (told["reason"], told["exitCode"]) == ("StartError", 128)


def test_an_indexed_job_knows_its_index(kubectl: Kubectl) -> None:
    """One index, 0: in its variable, its pod's name and its status."""
    apply(kubectl, "indexed", "echo index=$JOB_COMPLETION_INDEX", completionMode="Indexed")

    status = ended(kubectl, "indexed")

    assert kubectl.out("logs", "job/indexed") == "index=0\n"
    assert status["completedIndexes"] == "0"
    assert pods(kubectl, "indexed")[0]["metadata"]["name"].startswith("indexed-0-")


def test_a_container_starts_where_and_with_what_it_says(kubectl: Kubectl) -> None:
    """Its workingDir; paths of its mounts in flags; its pod's labels."""
    reference = {"fieldRef": {"fieldPath": "metadata.labels['job-name']"}}
    script = """if True:
        import os, sys
        open(sys.argv[1].split('=')[1], 'w').write('x')
        print(os.getcwd(), os.environ['TEAM'], os.listdir(os.environ['D']))"""
    container = {
        "command": ["python", "-c"],
        "args": [script, "--out=/data/out"],
        "workingDir": "/tmp",  # noqa: S108  a folder that every machine has
        "env": [{"name": "TEAM", "valueFrom": reference}, {"name": "D", "value": "/data"}],
        "volumeMounts": [{"name": "w", "mountPath": "/data"}],
    }
    volumes = [{"name": "w", "emptyDir": {}}]
    apply(kubectl, "where", "", container=container, pod={"volumes": volumes})

    ended(kubectl, "where")

    assert kubectl.out("logs", "job/where").endswith("tmp where ['out']\n")


def test_a_job_that_nothing_isolates_says_so(kubectl: Kubectl) -> None:
    """Kubectl prints the warning, and the Job has an Event."""
    warned = apply(kubectl, "free", "true", pod={"securityContext": {"runAsUser": 65532}})

    ended(kubectl, "free")

    assert "Warning: spec.template.spec.securityContext: a laptop runs processes" in warned
    assert "NotFollowed" in kubectl.out("events", "--for", "job/free")
