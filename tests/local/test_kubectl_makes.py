"""What the real kubectl makes by itself, and what it is told where a laptop does otherwise."""

from pathlib import Path

from tests.support.kubectl import Kubectl
from tests.support.platform import wait_for

OLD_AUTOSCALER = """
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {name: iris-predictor}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: iris-predictor}
  minReplicas: 2
  maxReplicas: 3
  targetCPUUtilizationPercentage: 60
"""


OTHERWISE = (
    ("exec POD -- ls", "its words are in kubectl logs"),
    ("attach POD", "its words are in kubectl logs"),
    ("cp POD:/etc/hosts /dev/null", "its words are in kubectl logs"),
    ("port-forward svc/iris-predictor 0:80", "ask the gateway"),
    ("get --raw /api/v1/namespaces/models/services/a/proxy/v2", "ask the gateway"),
    ("debug POD --image=busybox", "debug the process"),
    ("run x --image=busybox", "apply a Job or an InferenceService"),
    ("create deployment x --image=busybox", "a Deployment is made from an InferenceService"),
    ("expose deploy/iris-predictor --port=80", "the gateway answers for it"),
    ("delete svc iris-predictor", "the gateway answers for it"),
    ("label pod POD a=b", "a pod is made by a Deployment or a Job"),
    ("label deploy/iris-predictor a=b", "label isvc/iris"),
    ("scale isvc/iris --replicas=2", "spec.predictor.minReplicas"),
    ("scale rs --all --replicas=2", "scale its Deployment"),
    ("rollout pause deploy/iris-predictor", "nothing is paused here"),
    ("set image deploy/iris-predictor *=x", "storageUri of isvc/iris"),
    (
        "set resources deploy/iris-predictor --limits=cpu=7",
        "model.resources of isvc/iris",
    ),
    ("cordon laptop", "the only node is this machine"),
    ("taint node laptop a=b:NoSchedule", "the only node is this machine"),
    ("create token default", "it is in the kubeconfig"),
    ("create cronjob x --image=a --schedule=@daily", "cronjobs of this group and version"),
    ("create quota x", "kubectl api-resources"),
    ("cluster-info dump", "there is no cluster-info dump"),
    ("get networkpolicy", "the server doesn't have a resource type"),
)
"""What is refused: the verb, and what kubectl prints."""


def test_an_hpa_of_ones_own_scales(kubectl: Kubectl) -> None:
    """`kubectl autoscale`, or autoscaling/v1, scales a Deployment that no ScaledObject scales."""
    hpa = ("autoscale", "deploy/iris-predictor", "--min=2", "--max=3", "--cpu-percent=70")
    refused = kubectl.run(*hpa, expect=1).stderr
    scaled = kubectl.out("get", "so", "iris-predictor", "-o", "json")
    kubectl.run("delete", "so", "iris-predictor")
    try:
        kubectl.run(*hpa)
        wait_for(
            lambda: kubectl.get("deploy/iris-predictor")["spec"]["replicas"] == 2,
            60,
            "the HPA's minimum",
        )
        wait_for(lambda: "New size: 2" in kubectl.out("describe", "hpa"), 60, "the HPA's Event")
        shown = kubectl.out("get", "hpa", "iris-predictor", "--no-headers").split()
        kubectl.run("apply", "-f", "-", text=OLD_AUTOSCALER)
        again = kubectl.run("apply", "-f", "-", text=OLD_AUTOSCALER).stdout
        old = kubectl.get("horizontalpodautoscalers.v1.autoscaling", "iris-predictor")
        new = kubectl.get("horizontalpodautoscalers.v2.autoscaling", "iris-predictor")
        warned = kubectl.run("scale", "deploy/iris-predictor", "--replicas=2").stderr
        denied = kubectl.run("apply", "-f", "-", expect=1, text=scaled).stderr
        kubectl.platform.serin("up", "iris")
    finally:
        kubectl.run("delete", "hpa", "iris-predictor", "--ignore-not-found")
        kubectl.run("delete", "so", "iris-predictor", "--ignore-not-found")
        kubectl.run("scale", "deploy/iris-predictor", "--replicas=1")
        wait_for(lambda: len(pods_of(kubectl)) == 1, 60, "the pod that stays")
        kubectl.platform.serin("up", "iris")

    assert "scaledobject iris-predictor scales iris-predictor already" in refused
    assert "unchanged" in again
    assert old["spec"]["targetCPUUtilizationPercentage"] == 60
    assert new["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 60
    assert shown[:2] == ["iris-predictor", "Deployment/iris-predictor"]
    assert "minReplicas" in warned
    assert "already managed by the hpa 'iris-predictor'" in denied
    assert kubectl.out("get", "so", "iris-predictor", "-o", "name").strip()


def pods_of(kubectl: Kubectl) -> list[str]:
    """The names of iris' pods."""
    return kubectl.out("get", "pods", "-l", "app=isvc.iris-predictor", "-o", "name").split()


def test_a_job_is_made_as_kubectl_sends_it(kubectl: Kubectl) -> None:
    """`create job` runs a command; without one, and of a CronJob, it says what is missing."""
    job = ("create", "job", "hello", "--image=busybox")
    cron = kubectl.run("create", "job", "hello", "--from=cronjob/nightly", expect=1).stderr
    try:
        kubectl.run(*job)
        wait_for(
            lambda: (
                "has no command: a laptop does not run images"
                in kubectl.out("get", "pods", "-l", "job-name=hello", "-o", "json")
            ),
            60,
            "the reason",
        )
        kubectl.run("delete", "job", "hello")
        kubectl.run(*job, "--", "echo", "hi there")
        kubectl.run("wait", "--for=condition=Complete", "job/hello", "--timeout=120s")
        said = kubectl.out("logs", "job/hello")
    finally:
        kubectl.run("delete", "job", "hello", "--ignore-not-found")

    assert "cronjob" in cron
    assert said.strip() == "hi there"


def test_what_kubectl_makes_in_protobuf_is_made(kubectl: Kubectl) -> None:
    """Each kind that is kept and that `create` has a verb for."""
    made = [
        ("namespace", "mine"),
        ("serviceaccount", "mine"),
        ("secret", "generic", "mine", "--from-literal=a=b"),
        ("role", "mine", "--verb=get,list", "--resource=pods,deployments.apps"),
        ("rolebinding", "mine", "--role=mine", "--serviceaccount=models:mine"),
    ]
    try:
        for what in made:
            assert kubectl.out("create", *what).endswith("created\n")
        rules = kubectl.get("role/mine")["rules"]
        binding = kubectl.get("rolebinding/mine")
    finally:
        for kind, *_ in made:
            kubectl.run("delete", kind, "mine", "--ignore-not-found")

    assert {("", "pods"), ("apps", "deployments")} == {
        (group, name) for rule in rules for group in rule["apiGroups"] for name in rule["resources"]
    }
    assert binding["roleRef"]["name"] == "mine"
    assert binding["subjects"][0]["name"] == "mine"


def test_a_verb_that_does_otherwise_says_what_to_do(kubectl: Kubectl) -> None:
    """In a sentence that names the way, and nothing ends or changes."""
    wait_for(lambda: len(pods_of(kubectl)) == 1, 60, "the pod that stays")
    (pod,) = pods_of(kubectl)

    shown = {
        words: kubectl.start(*words.replace("POD", pod.removeprefix("pod/")).split()).communicate(
            timeout=60
        )[0]
        for words, _ in OTHERWISE
    }

    assert {words: shown[words] for words, said in OTHERWISE if said not in shown[words]} == {}
    assert pods_of(kubectl) == [pod]


def test_what_was_written_out_is_applied_without_a_word(kubectl: Kubectl, tmp_path: Path) -> None:
    """`kubectl get -o yaml`, then `apply` of it, as a backup is taken and brought back."""
    backup = tmp_path / "backup.yaml"

    def is_silent() -> bool:  # a status that changes in between is a conflict, as in a cluster
        backup.write_text(kubectl.out("get", "isvc,servingruntimes", "-o", "yaml"), "utf-8")
        applying = kubectl.start("apply", "-f", str(backup))
        shown, _ = applying.communicate(timeout=60)
        return applying.returncode == 0 and "Warning" not in shown

    wait_for(is_silent, 60, "an apply that warns of nothing")
