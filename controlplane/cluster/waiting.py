"""Waiting for workloads: what their pods say is passed on at once, and what cannot end, ends."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from controlplane.cluster.kubectl import TELL_SECONDS, ClusterError, Kubectl

Say = Callable[[str], None]
POLL_SECONDS = 0.5
_LOOK_SECONDS = 2.0
HOPELESS_SECONDS = 60.0
"""How long a pod may say what does not pass by waiting: a registry may have had a bad moment."""
_IMAGE = {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}
_HOPELESS = _IMAGE | {"CreateContainerConfigError", "CreateContainerError"}
_USUAL = {"ContainerCreating", "PodInitializing", "Completed"}
_EVENTS = {"FailedCreate", "FailedMount", "FailedAttachVolume"}
_EVENTS_SECONDS = 20.0
"""Before that a volume's Secret that is not there yet is no news."""
_LONGEST = 300  # characters of a message


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pod does not run, in its own words."""

    who: str
    reason: str
    message: str = ""
    image: str = ""

    def __str__(self) -> str:
        said = " ".join(self.message.split())
        said = f"{said[:_LONGEST]}…" if len(said) > _LONGEST else said
        return f"{self.who} {self.reason}: {said}" if said else f"{self.who} {self.reason}"

    @property
    def is_hopeless(self) -> bool:
        """Whether it stays so until somebody does something."""
        return self.reason in _HOPELESS

    @property
    def advice(self) -> str:
        """What somebody can do."""
        if self.reason in _IMAGE:
            return (
                f"The node cannot get {self.image}: build and push it, or name the registry that "
                "has it in your overlay (docs/deploy.md, Images); then run this again."
            )
        return "Mend that and run this again."


def troubles(kubectl: Kubectl, namespace: str, selector: str = "") -> list[Trouble]:
    """Why pods of a namespace do not run."""
    options = [f"--selector={selector}"] if selector else []
    pods = kubectl.items("pods", "-n", namespace, *options)
    return [trouble for pod in pods for trouble in _of_pod(pod)]


def _of_pod(pod: dict[str, Any]) -> Iterator[Trouble]:
    name, status = f"pod {pod['metadata']['name']}:", pod.get("status") or {}
    for group in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(group) or ():
            for kind in ("waiting", "terminated"):
                state = container["state"].get(kind) or {}
                if state and state.get("reason") not in _USUAL:
                    yield Trouble(
                        f"{name} {container['name']}",
                        state.get("reason", kind),
                        state.get("message", ""),
                        container.get("image", ""),
                    )
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield Trouble(name, condition.get("reason", ""), condition.get("message", ""))
    if status.get("phase") == "Failed" and status.get("reason"):  # Evicted, DeadlineExceeded
        yield Trouble(name, status["reason"], status.get("message", ""))


def pods_say(kubectl: Kubectl, namespace: str, selector: str = "") -> str:
    """Why pods of a namespace are not ready, in one line."""
    said = "; ".join(map(str, troubles(kubectl, namespace, selector)))
    return said or f"See kubectl -n {namespace} get pods,events."


@dataclass
class Watch:
    """Looks at the pods of one wait, and tells what is new.

    Attributes:
        kubectl: the cluster.
        say: told of each trouble once, and twice a minute that the wait goes on.
        namespace: of the pods.
        selector: of the pods; empty for all of the namespace.
    """

    kubectl: Kubectl
    say: Say
    namespace: str
    selector: str = ""
    last: str = ""
    """The newest trouble, for whom the pods that said it are gone."""
    _said: set[tuple[str, str]] = field(default_factory=set)
    _since: dict[str, float] = field(default_factory=dict)

    def wait(self, what: str, seconds: float, condition: Callable[[], bool]) -> None:
        """Poll until `condition()`.

        Raises:
            ClusterError: it is not so within `seconds`, or waiting cannot help; says why.
        """
        begun = time.monotonic()
        look, tell = begun, begun + TELL_SECONDS
        while not condition():
            now = time.monotonic()
            if now - begun > seconds:
                why = pods_say(self.kubectl, self.namespace, self.selector)
                raise ClusterError(f"waited {seconds:.0f} s for {what}. {why}")
            if now >= look:
                look = now + _LOOK_SECONDS
                self._look(what, now, now - begun)
            if now >= tell:
                tell = now + TELL_SECONDS
                self.say(f"waiting for {what}, {now - begun:.0f} s so far: {self._state()}")
            time.sleep(POLL_SECONDS)

    def _look(self, what: str, now: float, waited: float) -> None:
        found = troubles(self.kubectl, self.namespace, self.selector)
        for trouble in found or (self._events() if waited >= _EVENTS_SECONDS else ()):
            if (trouble.who, trouble.reason) not in self._said:
                self._said.add((trouble.who, trouble.reason))
                self.last = str(trouble)
                self.say(self.last)
        hopeless = {trouble.who: trouble for trouble in found if trouble.is_hopeless}
        self._since = {who: self._since.get(who, now) for who in hopeless}
        for who, trouble in hopeless.items():
            if now - self._since[who] >= HOPELESS_SECONDS:
                raise ClusterError(f"gave up waiting for {what}: {trouble}. {trouble.advice}")

    def _events(self) -> Iterator[Trouble]:
        """What keeps pods from being made, or their volumes from being mounted."""
        there = ("events", "-n", self.namespace, "--field-selector=type=Warning")
        for event in self.kubectl.items(*there):
            about = event["involvedObject"]
            if event.get("reason") in _EVENTS and self._is_about(about["name"]):
                who = f"{about['kind']} {about['name']}:"
                yield Trouble(who, event["reason"], event.get("message", ""))

    def _is_about(self, name: str) -> bool:
        """Whether an object's name begins with a value that the selector asks for."""
        values = [label.rpartition("=")[2] for label in self.selector.split(",")]
        return name.startswith(tuple(values))

    def _state(self) -> str:
        options = [f"--selector={self.selector}"] if self.selector else []
        pods = self.kubectl.items("pods", "-n", self.namespace, *options)
        return ", ".join(_phase(pod) for pod in pods) or "no pod yet"


def _phase(pod: dict[str, Any]) -> str:
    status = pod.get("status") or {}
    states = [
        (container["state"].get("waiting") or {}).get("reason", "")
        for group in ("initContainerStatuses", "containerStatuses")
        for container in status.get(group) or ()
    ]
    reason = next((one for one in states if one), "")
    if not reason and status.get("phase") == "Running":
        ready = all(one.get("ready") for one in status.get("containerStatuses") or ())
        reason = "ready" if ready else "running, not ready"
    return f"{pod['metadata']['name']} {reason or status.get('phase', 'Pending')}"
