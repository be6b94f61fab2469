"""What the real kubectl makes by itself: an autoscaler of a Deployment, a Job of a command."""

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
