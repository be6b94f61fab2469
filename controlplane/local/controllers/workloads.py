"""Deployments, ReplicaSets and Pods as objects: what the controllers of a cluster would write.

Pure: facts of pods in, objects and statuses out.
"""

from collections.abc import Iterable, Sequence

from controlplane.kubernetes.conditions import condition, timed
from controlplane.kubernetes.meta import Object, owner_reference
from controlplane.kubernetes.names import REVISION
from controlplane.local.controllers.plan import bounds, template_hash
from controlplane.local.controllers.report import TRIES, PodReport

HASH_LABEL = "pod-template-hash"
NODE = "laptop"
_FINISHED = {"Terminating"}


def replica_set(deployment: Object, revision: int) -> Object:
    """The ReplicaSet of a Deployment's current template, without pods yet."""
    metadata, spec = deployment["metadata"], deployment["spec"]
    digest = template_hash(spec["template"])
    template = spec["template"]
    labels = {**template["metadata"]["labels"], HASH_LABEL: digest}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{digest}",
            "namespace": metadata["namespace"],
            "labels": {**metadata["labels"], **labels},
            "annotations": {REVISION: str(revision)},
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {**spec["selector"]["matchLabels"], HASH_LABEL: digest}},
            "template": template,
        },
    }


def replica_set_status(own: Sequence[PodReport]) -> Object:
    """A ReplicaSet's status from its pods."""
    there = [pod for pod in own if pod.phase not in _FINISHED]
    ready = sum(pod.ready for pod in there)
    counts = {"replicas": len(there), "fullyLabeledReplicas": len(there)}
    if ready:
        counts |= {"readyReplicas": ready, "availableReplicas": ready}
    return counts


def deployment_status(deployment: Object, pods: Iterable[PodReport], now: str) -> Object:
    """A Deployment's status as its controller writes it, conditions with their times kept."""
    spec, generation = deployment["spec"], deployment["metadata"]["generation"]
    digest, wanted = template_hash(spec["template"]), spec.get("replicas", 1)
    there = [pod for pod in pods if pod.phase not in _FINISHED]
    new = [pod for pod in there if pod.template_hash == digest]
    ready = sum(pod.ready for pod in there)
    least = wanted - bounds(spec.get("strategy") or {}, wanted)[1]
    done = len(new) == wanted == len(there) and all(pod.ready for pod in new)
    failed = next((pod for pod in new if pod.failed_starts >= TRIES and not pod.ready), None)
    name = f"{deployment['metadata']['name']}-{digest}"
    available = ready >= least
    conditions = [
        condition(
            "Available",
            "MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
            f"Deployment {'has' if available else 'does not have'} minimum availability.",
            true=available,
        )
    ]
    if done:
        conditions.append(
            condition(
                "Progressing",
                "NewReplicaSetAvailable",
                f'ReplicaSet "{name}" has successfully progressed.',
                true=True,
            )
        )
    elif failed:
        said = f'ReplicaSet "{name}" does not start: {failed.failure}'
        conditions.append(condition("Progressing", "ProgressDeadlineExceeded", said, true=False))
    else:
        said = f'ReplicaSet "{name}" is progressing.'
        conditions.append(condition("Progressing", "ReplicaSetUpdated", said, true=True))
    status: Object = {
        "observedGeneration": generation,
        "replicas": len(there),
        "updatedReplicas": len(new),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(wanted - ready, len(there) - ready, 0),
        "conditions": timed(conditions, (deployment.get("status") or {}).get("conditions"), now),
    }
    return {name: value for name, value in status.items() if value != 0}


def pod(state: PodReport, owner: Object) -> Object:
    """A predictor pod as an object; its owner is a ReplicaSet."""
    made = owned_pod(state.name, owner)
    made["metadata"]["labels"][HASH_LABEL] = state.template_hash
    return made


def owned_pod(name: str, owner: Object) -> Object:
    """A pod of an owner's template."""
    template = owner["spec"]["template"]
    metadata = template.get("metadata") or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "labels": dict(metadata.get("labels") or {}),
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [owner_reference(owner)],
        },
        # A cluster's pods all have a securityContext, and `kubectl debug` relies on it.
        "spec": {"securityContext": {}, **template["spec"], "nodeName": NODE},
    }


def pod_status(state: PodReport, container: str, image: str) -> Object:
    """A predictor pod's status."""
    running = state.phase in {"Starting", "Running", "NotReady", "Terminating"}
    status: Object = {
        "phase": "Running" if running or state.restarts else "Pending",
        "hostIP": "127.0.0.1",
        "podIP": "127.0.0.1",
        "startTime": state.made_at,
        "conditions": [
            condition("PodScheduled", true=True),
            condition("Initialized", true=running or state.restarts > 0),
            condition("ContainersReady", true=state.ready),
            condition("Ready", true=state.ready),
        ],
    }
    entry: Object = {
        "name": container,
        "image": image,
        "imageID": "",
        "ready": state.ready,
        "started": running,
        "restartCount": state.restarts,
        "state": _container_state(state, running=running),
        "lastState": {},
    }
    if state.pid is not None:
        entry["containerID"] = f"process://{state.pid}"
    if state.ended_at:
        entry["lastState"] = {"terminated": terminated(state.exit_code, state.ended_at)}
    status["containerStatuses"] = [entry]
    return status


def job_pod_status(
    pod: Object, stage: int, phase: str, state: Object, now: str, reason: str = ""
) -> Object:
    """A Job's pod's status.

    Args:
        pod: The pod.
        stage: Which of its containers is on: init containers first, one after another.
        phase: The pod's.
        state: That container's.
        now: metav1.Time.
        reason: Why it failed, where no container says so.
    """
    first, ready = pod["spec"].get("initContainers") or [], "running" in state
    entries = []
    for index, container in enumerate([*first, *pod["spec"]["containers"]]):
        own: Object = {"waiting": {"reason": "PodInitializing"}}
        if index < stage:
            own = {"terminated": terminated(0, now)}
        elif index == stage:
            own = state
        entries.append(
            {
                "name": container["name"],
                "image": container.get("image", ""),
                "imageID": "",
                "ready": index < stage or (index == stage and ready),
                "started": index == stage and ready,
                "restartCount": 0,
                "state": own,
                "lastState": {},
            }
        )
    is_main = stage >= len(first)
    status: Object = {
        "phase": "Pending" if phase == "Running" and not is_main else phase,
        "startTime": (pod.get("status") or {}).get("startTime") or now,
        "hostIP": "127.0.0.1",
        "podIP": "127.0.0.1",
        "conditions": [
            condition("PodScheduled", true=True),
            condition("Initialized", true=is_main),
            condition("Ready", "" if ready else "PodCompleted", true=ready and is_main),
        ],
        "containerStatuses": entries[len(first) :],
    }
    if first:
        status["initContainerStatuses"] = entries[: len(first)]
    if reason:
        status["reason"] = reason
    return status


def code_of(exit_code: int) -> int:
    """A process's exit code as a container's: a signal is 128 and its number."""
    return exit_code if exit_code >= 0 else 128 - exit_code


def terminated(exit_code: int | None, finished_at: str) -> Object:
    """A container state of a process that ended; a signal is 128 and its number."""
    code = 1 if exit_code is None else code_of(exit_code)
    return {
        "exitCode": code,
        "reason": "Completed" if code == 0 else "Error",
        "finishedAt": finished_at,
        "startedAt": finished_at,
    }


def _container_state(state: PodReport, *, running: bool) -> Object:
    if running:
        return {"running": {"startedAt": state.started_at or state.made_at}}
    reasons = {"CrashLoopBackOff": "CrashLoopBackOff", "Downloading": "PodInitializing"}
    waiting = {"reason": reasons.get(state.phase, "ContainerCreating")}
    if why := state.reason or state.failure:
        waiting["message"] = why
    return {"waiting": waiting}
