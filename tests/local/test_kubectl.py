"""The real kubectl and the official Python client against the laptop's API."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.kubectl import Kubectl
from tests.support.platform import ROOT, Platform, wait_for

RATE = '{"spec":{"predictor":{"timeout":%d}}}'


def timeout(kubectl: Kubectl) -> int:
    """The field that these tests change: it moves no process."""
    return int(kubectl.get("isvc/iris")["spec"]["predictor"]["timeout"])


def test_get_shows_what_a_cluster_shows(kubectl: Kubectl) -> None:
    """KServe's columns, a Deployment's counts, a pod's state; -o wide and yaml."""
    services = kubectl.out("get", "isvc", "-o", "wide").splitlines()
    assert services[0].split()[:4] == ["NAME", "URL", "READY", "PREV"]
    assert services[1].split()[0] == "iris"
    assert services[1].split()[2] == "True"
    assert kubectl.out("get", "deploy", "--no-headers").split()[:4] == (
        ["iris-predictor", "1/1", "1", "1"]
    )
    pod = kubectl.out("get", "pods", "-l", "app=isvc.iris-predictor", "--no-headers").split()
    assert pod[1:4] == ["1/1", "Running", "0"]
    assert kubectl.get("isvc/iris")["status"]["observedGeneration"] >= 1
    assert "storageUri: s3://models/iris/" in kubectl.out("get", "isvc/iris", "-o", "yaml")
    assert "inferenceservices" in kubectl.out("api-resources", "-o", "name")


def test_describe_tells_the_conditions_and_the_events(kubectl: Kubectl) -> None:
    """Of an InferenceService, a Deployment and a pod."""
    assert "InferenceService [iris] is Ready" in kubectl.out("describe", "isvc", "iris")
    assert "ScalingReplicaSet" in kubectl.out("describe", "deploy", "iris-predictor")
    assert "Started process" in kubectl.out("describe", "pods")


def test_describe_takes_a_pod_that_is_leaving(kubectl: Kubectl) -> None:
    """Kubectl reads how long it may take, and crashes where a pod that ends does not say so."""
    (pod,) = kubectl.platform.pods("iris")
    described: list[str] = []

    def leaves() -> bool:
        described.append(kubectl.out("describe", "pods"))
        return "Terminating (lasts" in described[-1]

    os.kill(pod["pid"], signal.SIGSTOP)
    try:
        kubectl.run("rollout", "restart", "deploy/iris-predictor")
        wait_for(leaves, 60, "a pod that is leaving")
    finally:
        os.kill(pod["pid"], signal.SIGCONT)
    wait_for(lambda: [one["ready"] for one in kubectl.platform.pods("iris")] == [True], 60, "one")

    assert "Termination Grace Period:  30s" in described[-1]


def test_describe_takes_every_kind_of_object(kubectl: Kubectl) -> None:
    """Its describers read fields without asking whether they are there."""
    kinds = kubectl.out("api-resources", "--verbs=get,list", "-o", "name").split()
    described = {kind: kubectl.out("describe", kind, "-A") for kind in kinds}

    assert "Name:" in described["nodes"]
    assert "Name:" in described["deployments.apps"]


def test_explain_reads_the_real_schemas(kubectl: Kubectl) -> None:
    """Custom and built-in kinds."""
    assert "trafficPercent\t<integer> -required-" in kubectl.out("explain", "isvc.spec.canary")
    assert "backoffLimit\t<integer>" in kubectl.out("explain", "job.spec")
    assert "minReplicaCount" in kubectl.out("explain", "scaledobject.spec")


def test_apply_of_the_repositorys_manifests_changes_nothing_twice(kubectl: Kubectl) -> None:
    """`apply -k`, then again; `diff -k` agrees, and tells a change by its exit code."""
    kubectl.run("apply", "-k", "keda")
    assert "configured" not in kubectl.out("apply", "-k", "keda")
    assert kubectl.run("diff", "-k", "keda").stdout == ""
    changed = (ROOT / "keda" / "iris.yaml").read_text("utf-8")
    changed = changed.replace("maxReplicaCount: 5", "maxReplicaCount: 6")

    found = kubectl.run("diff", "-f", "-", expect=1, text=changed)

    assert "+  maxReplicaCount: 6" in found.stdout


def test_apply_of_what_up_made_warns_of_nothing(kubectl: Kubectl) -> None:
    """`up` notes what it applied as kubectl does, to the byte."""
    done = kubectl.run("apply", "-k", "keda")

    assert done.stderr == ""
    assert "iris-predictor unchanged" in done.stdout


def test_a_list_is_applied_as_it_was_written_out(kubectl: Kubectl, tmp_path: Path) -> None:
    """A backup of `kubectl get -o yaml` is one List of all."""
    backup = tmp_path / "backup.yaml"
    backup.write_text(kubectl.out("get", "isvc", "-o", "yaml"), "utf-8")

    assert "inferenceservice.serving.kserve.io/iris" in kubectl.out("apply", "-f", backup)


def test_a_kind_that_is_not_served_is_one_that_a_cluster_lacks(kubectl: Kubectl) -> None:
    """Kubectl says so in its own words, and speaks of no OpenAPI."""
    policy = (
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec: {}\n"
    )

    refused = kubectl.run("apply", "-f", "-", expect=1, text=policy)

    words = 'no matches for kind "NetworkPolicy" in version "networking.k8s.io/v1"'
    assert words in refused.stderr
    assert "openapi" not in refused.stderr


def test_a_restart_rolls_the_pods_and_loses_no_request(kubectl: Kubectl) -> None:
    """`rollout restart` is what a runbook says first; a new pod answers before the old one goes."""
    pods = ("get", "pods", "-l", "app=isvc.iris-predictor", "-o", "name")
    before = kubectl.out(*pods)
    done, codes = threading.Event(), set[int]()
    asking = threading.Thread(target=ask_until, args=(kubectl.platform, done, codes))
    asking.start()
    try:
        kubectl.run("rollout", "restart", "deploy/iris-predictor")
        kubectl.run("rollout", "status", "deploy/iris-predictor", "--timeout=50s")
        wait_for(lambda: before.strip() not in kubectl.out(*pods), 60, "the old pod's end")
    finally:
        done.set()
        asking.join()

    assert codes == {200}


def ask_until(platform: Platform, done: threading.Event, codes: set[int]) -> None:
    """Ask iris again and again; what it answered with."""
    while not done.is_set():
        codes.add(platform.infer()[0])


def test_what_a_deployment_takes_back_is_refused_with_what_lasts(kubectl: Kubectl) -> None:
    """`set env` and its like name the InferenceService; a scale warns of the ScaledObject."""
    refused = kubectl.run("set", "env", "deploy/iris-predictor", "A=b", expect=1).stderr
    scaled = kubectl.run("scale", "deploy/iris-predictor", "--replicas=1").stderr

    assert "patch spec.predictor.model.env of isvc/iris" in refused
    assert "scaledobject/iris-predictor" in scaled


def test_what_a_runbook_looks_at_first_is_there(kubectl: Kubectl) -> None:
    """Services, the node, claims and the cluster's address; the token may do everything."""
    assert kubectl.out("get", "svc", "-o", "name").strip() == "service/iris-predictor"
    assert kubectl.out("get", "nodes", "--no-headers").split()[:2] == ["laptop", "Ready"]
    assert "127.0.0.1" in kubectl.out("get", "endpointslices", "--no-headers")
    assert "127.0.0.1" in kubectl.out("get", "endpoints", "--no-headers")
    assert "No resources found" in kubectl.run("get", "pvc").stderr
    assert "inferenceservices.serving.kserve.io" in kubectl.out("get", "crd", "-o", "name")
    assert "https://127.0.0.1:" in kubectl.out("cluster-info")
    assert kubectl.out("auth", "can-i", "create", "isvc").strip() == "yes"
    refused = kubectl.run("auth", "can-i", "create", "pods", expect=1).stdout
    assert refused.startswith("no - ")
    assert "apply a Job or an InferenceService" in refused
    assert "iris-predictor" in kubectl.out("describe", "svc", "iris-predictor")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems list processes otherwise")
def test_top_shows_what_a_model_uses(kubectl: Kubectl) -> None:
    """CPU and memory of its pod's process, and of all together."""
    name, cpu, memory = kubectl.out("top", "pods", "--no-headers").split()[:3]

    assert name.startswith("iris-predictor-")
    assert cpu.endswith("m")
    assert int(memory.removesuffix("Mi")) > 10
    assert kubectl.out("top", "nodes", "--no-headers").split()[0] == "laptop"


def test_what_a_laptop_does_not_do_names_what_to_do(kubectl: Kubectl) -> None:
    """In one sentence, whichever way kubectl asks for it."""
    pod = kubectl.out("get", "pods", "-l", "app=isvc.iris-predictor", "-o", "name").split()[0]

    inside = kubectl.run("exec", pod, "--", "ls", expect=1).stderr
    forward = kubectl.run("port-forward", pod, "18999:8080", expect=1).stderr
    made = kubectl.run("create", "deployment", "x", "--image=a", expect=1).stderr

    assert "./serin status --json" in inside
    assert "ask the gateway" in forward
    assert "made from an InferenceService" in made


def test_each_kind_of_patch(kubectl: Kubectl) -> None:
    """Merge, JSON with a test; strategic merge for built-in kinds, and only for those."""
    kubectl.run("patch", "isvc/iris", "--type", "merge", "-p", RATE % 61)
    assert timeout(kubectl) == 61
    test, replace = (
        '{"op": "test", "path": "/spec/predictor/timeout", "value": %d}',
        '{"op": "replace", "path": "/spec/predictor/timeout", "value": 62}',
    )
    kubectl.run("patch", "isvc/iris", "--type", "json", "-p", f"[{test % 61}, {replace}]")
    refused = kubectl.run(
        *("patch", "isvc/iris", "--type", "json", "-p", f"[{test % 61}, {replace}]"), expect=1
    )
    assert "The request is invalid" in refused.stderr
    refused = kubectl.run("patch", "isvc/iris", "-p", RATE % 63, expect=1)
    assert "strategic-merge-patch+json is not supported" in refused.stderr
    kubectl.run("create", "configmap", "notes", "--from-literal=a=1", "--from-literal=b=2")
    kubectl.run("patch", "configmap/notes", "-p", '{"data": {"b": null, "c": "3"}}')
    assert kubectl.get("configmap/notes")["data"] == {"a": "1", "c": "3"}
    kubectl.run("delete", "configmap/notes")
    assert timeout(kubectl) == 62


def test_server_side_apply_knows_whose_field_it_is(kubectl: Kubectl) -> None:
    """A field of another manager is a conflict that names it, until it is forced."""
    mine = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: iris, namespace: models}
spec: {predictor: {timeout: 64}}
"""
    apply = ("apply", "--server-side", "--field-manager", "somebody", "-f", "-")
    kubectl.run("patch", "isvc/iris", "--type", "merge", "-p", RATE % 65)

    refused = kubectl.run(*apply, expect=1, text=mine)

    assert 'conflict with "kubectl-patch"' in refused.stderr
    assert ".spec.predictor.timeout" in refused.stderr
    kubectl.run(*apply, "--force-conflicts", text=mine)
    assert timeout(kubectl) == 64
    assert "storageUri" in kubectl.get("isvc/iris")["spec"]["predictor"]["model"]


def test_edit_and_replace(kubectl: Kubectl, tmp_path: Path) -> None:
    """An editor's change arrives; a replacement of what was read before it is a conflict."""
    before = tmp_path / "before.yaml"
    before.write_text(kubectl.out("get", "isvc/iris", "-o", "yaml"), "utf-8")

    kubectl.run("edit", "isvc/iris", KUBE_EDITOR="sed -i s/timeout:.*/timeout:\\ 66/")

    assert timeout(kubectl) == 66
    refused = kubectl.run("replace", "-f", before, expect=1)
    assert "the object has been modified" in refused.stderr


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ('{"spec": {"predictor": {"nonsense": 1}}}', 'unknown field "spec.predictor.nonsense"'),
        ('{"spec": {"predictor": {"timeout": "x"}}}', "must be of type integer"),
        (
            '{"spec": {"canary": [{"trafficPercent": 101, "predictor": {"name": "c"}}]}}',
            "should be less than or equal to 100",
        ),
        (
            '{"spec": {"canary": [{"trafficPercent": 10, "predictor": {"model": {}}}]}}',
            "spec.canary[0].predictor.model.modelFormat: Required value",
        ),
        (
            '{"spec": {"canary": [{"trafficPercent": 10, "predictor": {"onnx": {}}}]}}',
            "canary[0] predictor.name is required",
        ),
        ('{"metadata": {"annotations": {"serving.kserve.io/autoscalerClass": "x"}}}', "[x] is not"),
    ],
)
def test_what_a_cluster_refuses_is_refused_in_its_words(
    kubectl: Kubectl, patch: str, said: str
) -> None:
    """Unknown fields, the CRD's schema, KServe's webhook; nothing changes."""
    before = kubectl.get("isvc/iris")["metadata"]["resourceVersion"]

    done = subprocess.run(
        ["kubectl", "patch", "isvc/iris", "--type", "merge", "-p", patch],
        env=kubectl.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert said in done.stderr
    if "unknown field" in said:
        assert done.returncode == 0  # a patch warns, as in a cluster
    else:
        assert done.returncode == 1
        assert kubectl.get("isvc/iris")["metadata"]["resourceVersion"] == before


def test_a_dry_run_changes_nothing(kubectl: Kubectl) -> None:
    """The server answers what would be."""
    now = timeout(kubectl)
    arguments = ("patch", "isvc/iris", "--type", "merge", "-p", RATE % 99, "--dry-run=server")

    assert "timeout: 99" in kubectl.out(*arguments, "-o", "yaml")
    assert timeout(kubectl) == now


def test_a_watch_sees_a_change(kubectl: Kubectl) -> None:
    """`get -w` prints a line for it."""
    watch = kubectl.start("get", "configmap", "-w", "--no-headers")
    try:
        kubectl.run("create", "configmap", "seen", "--from-literal=a=1")
        assert watch.stdout is not None
        assert "seen" in watch.stdout.readline()
    finally:
        watch.terminate()
        watch.communicate(timeout=10)
        kubectl.run("delete", "configmap/seen")


def test_wait_works_after_a_patch(kubectl: Kubectl) -> None:
    """The status tells for which generation it speaks, so `wait` need not guess."""
    kubectl.run("patch", "isvc/iris", "--type", "merge", "-p", RATE % 67)

    kubectl.run("wait", "isvc/iris", "--for=condition=Ready", "--timeout=30s")
    kubectl.run("rollout", "status", "deploy/iris-predictor", "--timeout=30s")

    metadata = kubectl.get("isvc/iris")["metadata"]
    assert metadata["generation"] == kubectl.get("isvc/iris")["status"]["observedGeneration"]


def test_the_api_asks_for_the_token(kubectl: Kubectl) -> None:
    """Loopback is not enough: any user of the machine can reach it."""
    refused = kubectl.run("get", "isvc", "--token", "wrong", expect=1)

    assert "logged in" in refused.stderr or "Unauthorized" in refused.stderr


def test_the_python_client_lists_watches_and_patches(kubectl: Kubectl) -> None:
    """In a process of its own: the package takes a second to import."""
    script = """
from kubernetes import client, config, watch
config.load_kube_config()
api = client.CustomObjectsApi()
where = ("serving.kserve.io", "v1beta1", "models", "inferenceservices")
names = [one["metadata"]["name"] for one in api.list_namespaced_custom_object(*where)["items"]]
api.patch_namespaced_custom_object(*where, "iris", {"spec": {"predictor": {"timeout": 68}}})
events = watch.Watch().stream(api.list_namespaced_custom_object, *where, timeout_seconds=20)
event = next(iter(events))
pods = client.CoreV1Api().list_namespaced_pod("models", label_selector="component=predictor")
scale = client.AppsV1Api().read_namespaced_deployment_scale("iris-predictor", "models")
print(names, event["type"], event["object"]["spec"]["predictor"]["timeout"],
      pods.items[0].status.phase, scale.spec.replicas)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=kubectl.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )

    assert done.stdout.strip() == "['iris'] ADDED 68 Running 1", done.stderr


def test_what_was_applied_survives_a_kill(kubectl: Kubectl) -> None:
    """The supervisor is killed in the middle: every write that was answered is there again."""
    kubectl.run("patch", "isvc/iris", "--type", "merge", "-p", RATE % 69)
    kubectl.run("create", "configmap", "kept", "--from-literal=a=1")
    uid = kubectl.get("isvc/iris")["metadata"]["uid"]
    processes = kubectl.platform.processes()
    (supervisor,) = [one for one in processes if "controlplane.local" in one.cmdline()]

    supervisor.kill()
    wait_for(lambda: not kubectl.platform.processes(), 60, "the children's end")
    kubectl.platform.serin("up", "iris")

    assert kubectl.get("configmap/kept")["data"] == {"a": "1"}
    assert kubectl.get("isvc/iris")["metadata"]["uid"] == uid
    kubectl.run("delete", "configmap/kept")
