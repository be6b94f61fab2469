"""The columns of built-in kinds, as the API server prints them (internalversion printers). Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from controlplane.kubernetes.meta import Object
from controlplane.local.api.kubectl.ages import human, since

Cells = Callable[[Object], list[Any]]


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column; priority 1 is shown by -o wide only."""

    name: str
    type: str = "string"
    priority: int = 0
    format: str = ""

    def definition(self) -> dict[str, Any]:
        """As TableColumnDefinition."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": "",
            "priority": self.priority,
        }


def _columns(text: str) -> list[Column]:
    """From names; wide ones in parentheses."""
    return [
        Column(name[1:-1], "string", 1) if name.startswith("(") else Column(name)
        for name in text.split(",")
    ]


def _age(one: Object) -> str:
    return since(one["metadata"].get("creationTimestamp"), datetime.now(UTC))


def _name(one: Object) -> str:
    return str(one["metadata"]["name"])


def _template(one: Object) -> list[str]:
    spec = one["spec"]
    containers = spec["template"]["spec"]["containers"]
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    return [
        ",".join(container["name"] for container in containers),
        ",".join(container.get("image", "") for container in containers),
        ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>",
    ]


def _deployment(one: Object) -> list[Any]:
    status = one.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{one['spec'].get('replicas', 1)}"
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    return [_name(one), ready, updated, available, _age(one), *_template(one)]


def _replica_set(one: Object) -> list[Any]:
    status = one.get("status") or {}
    counts = one["spec"].get("replicas", 0), status.get("replicas", 0)
    return [_name(one), *counts, status.get("readyReplicas", 0), _age(one), *_template(one)]


def _pod(one: Object) -> list[Any]:
    status = one.get("status") or {}
    containers = status.get("containerStatuses") or ()
    ready = f"{sum(c['ready'] for c in containers)}/{len(one['spec']['containers'])}"
    restarts = sum(container["restartCount"] for container in containers)
    last = max(
        (
            (container.get("lastState") or {}).get("terminated", {}).get("finishedAt") or ""
            for container in containers
        ),
        default="",
    )
    ago = f" ({since(last, datetime.now(UTC))} ago)" if restarts and last else ""
    return [
        *(_name(one), ready, _pod_status(one), f"{restarts}{ago}", _age(one)),
        *(status.get("podIP", "<none>"), one["spec"].get("nodeName", "<none>")),
        *("<none>", "<none>"),
    ]


def _pod_status(one: Object) -> str:
    if one["metadata"].get("deletionTimestamp"):
        return "Terminating"
    status = one.get("status") or {}
    first = status.get("initContainerStatuses") or ()
    for index, container in enumerate(first):
        state = container.get("state") or {}
        failed = (state.get("terminated") or {}).get("exitCode")
        waits = (state.get("waiting") or {}).get("message")
        if failed or waits or "running" in state:
            reason = (state.get("terminated") or state.get("waiting") or {}).get("reason")
            return f"Init:{reason or f'{index}/{len(first)}'}"
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        for kind in ("waiting", "terminated"):
            if reason := (state.get(kind) or {}).get("reason"):
                return str(reason)
    return str(status.get("reason") or status.get("phase", "Unknown"))


def _job(one: Object) -> list[Any]:
    status = one.get("status") or {}
    conditions = {c["type"] for c in status.get("conditions") or () if c["status"] == "True"}
    word = next(
        (name for name in ("Complete", "Failed", "Suspended") if name in conditions), "Running"
    )
    duration = ""
    if begun := status.get("startTime"):
        ended = status.get("completionTime")
        end = datetime.fromisoformat(ended) if ended else datetime.now(UTC)
        duration = human((end - datetime.fromisoformat(begun)).total_seconds())
    done = f"{status.get('succeeded', 0)}/{one['spec'].get('completions', 1)}"
    return [_name(one), word, done, duration, _age(one), *_template(one)]


def _autoscaler(one: Object) -> list[Any]:
    spec, status = one["spec"], one.get("status") or {}
    target = spec["scaleTargetRef"]
    now = {_metric_name(found): found for found in status.get("currentMetrics") or ()}
    targets = ", ".join(
        f"{_word(metric)}{_measured(now.get(_metric_name(metric)), 'current')}"
        f"/{_measured(metric, 'target')}"
        for metric in spec["metrics"]
    )
    return [
        *(_name(one), f"{target['kind']}/{target['name']}", targets, spec.get("minReplicas", 1)),
        *(spec["maxReplicas"], status.get("currentReplicas", 0), _age(one)),
    ]


def _metric_name(metric: Object) -> str:
    resource = (metric.get("resource") or {}).get("name")
    return str(resource or (metric.get("external") or {}).get("metric", {}).get("name"))


def _word(metric: Object) -> str:
    """A resource's name, as kubectl shows it since 1.31; other metrics have none."""
    return f"{_metric_name(metric)}: " if "resource" in metric else ""


def _measured(metric: Object | None, field: str) -> str:
    found = (metric or {}).get("external") or (metric or {}).get("resource") or {}
    value = found.get(field) or {}
    if "averageUtilization" in value:
        return f"{value['averageUtilization']}%"
    if "averageValue" in value:
        return f"{value['averageValue']} (avg)" if field == "target" else str(value["averageValue"])
    return str(value.get("value", "<unknown>"))


def _event(one: Object) -> list[Any]:
    now, about = datetime.now(UTC), one["involvedObject"]
    count = one.get("count", 1)
    last = since(one.get("lastTimestamp"), now)
    if count > 1:
        last += f" (x{count} over {since(one.get('firstTimestamp'), now)})"
    return [
        *(last, one.get("type", ""), one.get("reason", "")),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        *(about.get("fieldPath", ""), (one.get("source") or {}).get("component", "")),
        *(one.get("message", "").strip(), since(one.get("firstTimestamp"), now), count, _name(one)),
    ]


def _service(one: Object) -> list[Any]:
    spec = one["spec"]
    ports = ",".join(f"{port['port']}/{port['protocol']}" for port in spec["ports"])
    selector = ",".join(f"{key}={value}" for key, value in sorted(spec["selector"].items()))
    return [_name(one), spec["type"], spec["clusterIP"], "<none>", ports, _age(one), selector]


def _slice(one: Object) -> list[Any]:
    addresses = ",".join(address for end in one["endpoints"] for address in end["addresses"])
    return [_name(one), one["addressType"], "<unset>", addresses, _age(one)]


def _endpoints(one: Object) -> list[Any]:
    ready = [end["ip"] for subset in one["subsets"] for end in subset.get("addresses", ())]
    return [_name(one), ",".join(ready) or "<none>", _age(one)]


def _node(one: Object) -> list[Any]:
    info, address = one["status"]["nodeInfo"], one["status"]["addresses"][0]["address"]
    return [
        *(_name(one), "Ready", "<none>", _age(one), info["kubeletVersion"], address, "<none>"),
        *(info["osImage"], info["kernelVersion"], info["containerRuntimeVersion"]),
    ]


def _data(one: Object) -> list[Any]:
    return [
        _name(one),
        len({**(one.get("data") or {}), **(one.get("binaryData") or {})}),
        _age(one),
    ]


def _created(one: Object) -> str:
    return str(one["metadata"].get("creationTimestamp", ""))


def _role_binding(one: Object) -> list[Any]:
    role, subjects = one["roleRef"], one.get("subjects") or ()
    named: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in subjects:
        namespace = subject.get("namespace", "")
        name = f"{namespace}/{subject['name']}" if namespace else subject["name"]
        named.setdefault(subject["kind"], []).append(name)
    users, groups, accounts = (", ".join(named[kind]) for kind in (*named,)[:3])
    return [_name(one), f"{role['kind']}/{role['name']}", _age(one), users, groups, accounts]


_TEMPLATE = "(Containers),(Images),(Selector)"

BUILTIN: dict[str, tuple[list[Column], Cells]] = {
    "Deployment": (_columns(f"Ready,Up-to-date,Available,Age,{_TEMPLATE}"), _deployment),
    "ReplicaSet": (_columns(f"Desired,Current,Ready,Age,{_TEMPLATE}"), _replica_set),
    "Pod": (
        _columns("Ready,Status,Restarts,Age,(IP),(Node),(Nominated Node),(Readiness Gates)"),
        _pod,
    ),
    "HorizontalPodAutoscaler": (
        _columns("Reference,Targets,MinPods,MaxPods,Replicas,Age"),
        _autoscaler,
    ),
    "Job": (_columns(f"Status,Completions,Duration,Age,{_TEMPLATE}"), _job),
    "ConfigMap": (_columns("Data,Age"), _data),
    "Secret": (
        _columns("Type,Data,Age"),
        lambda one: [_name(one), one.get("type", ""), *_data(one)[1:]],
    ),
    "ServiceAccount": (
        _columns("Secrets,Age"),
        lambda one: [_name(one), len(one.get("secrets") or ()), _age(one)],
    ),
    "Role": (_columns("Created At"), lambda one: [_name(one), _created(one)]),
    "RoleBinding": (_columns("Role,Age,(Users),(Groups),(ServiceAccounts)"), _role_binding),
    "Lease": (
        _columns("Holder,Age"),
        lambda one: [_name(one), one["spec"].get("holderIdentity", ""), _age(one)],
    ),
    "Service": (_columns("Type,Cluster-IP,External-IP,Port(s),Age,(Selector)"), _service),
    "EndpointSlice": (_columns("AddressType,Ports,Endpoints,Age"), _slice),
    "Endpoints": (_columns("Endpoints,Age"), _endpoints),
    "Node": (
        _columns(
            "Status,Roles,Age,Version,(Internal-IP),(External-IP),(OS-Image),(Kernel-Version),"
            "(Container-Runtime)"
        ),
        _node,
    ),
    **dict.fromkeys(
        ("PersistentVolumeClaim", "PersistentVolume", "StorageClass", "PodMetrics", "NodeMetrics"),
        (_columns("Age"), lambda one: [_name(one), _age(one)]),
    ),
    "CustomResourceDefinition": (
        _columns("Created At"),
        lambda one: [_name(one), one["metadata"].get("creationTimestamp", "")],
    ),
    "Namespace": (_columns("Status,Age"), lambda one: [_name(one), "Active", _age(one)]),
    "Event": (
        _columns(
            "Last Seen,Type,Reason,Object,(Subobject),(Source),Message,(First Seen),(Count),(Name)"
        ),
        _event,
    ),
}
