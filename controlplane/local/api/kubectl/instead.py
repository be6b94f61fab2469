"""What to do instead of what a laptop does not do: a sentence for each kind or part of it. Pure."""

MISSING = "the server does not allow this method on the requested resource"
ABSENT = "the server could not find the requested resource"
_WAYS = {
    "pods/exec": "a pod is a process of yours on this machine: look at it here, its id is in "
    "./serin status --json; its words are in kubectl logs",
    "pods/portforward": "a pod listens on this machine already: ask the gateway, whose address "
    "./serin status shows, or the pod's own port, which is in ./serin status --json",
    "pods/ephemeralcontainers": "no containers run here: debug the process, whose id is in "
    "./serin status --json",
    "pods/eviction": "delete the pod; its Deployment makes another",
    "pods": "a pod is made by a Deployment or a Job: apply a Job or an InferenceService",
    "deployments": "a Deployment is made from an InferenceService: apply one, or a Job",
    "replicasets": "a ReplicaSet is made from an InferenceService: apply one",
    "services": "a Service is made from an InferenceService, and the gateway answers for it",
    "endpoints": "Endpoints are made from pods",
    "endpointslices": "an EndpointSlice is made from a pod",
    "nodes": "the only node is this machine; ./serin down stops all that runs on it",
    "persistentvolumeclaims": "a laptop has no volumes to claim: a Job's emptyDir is a folder, and "
    "models are in the object store",
    "persistentvolumes": "a laptop has no volumes to claim",
    "storageclasses": "a laptop has no volumes to claim",
    "customresourcedefinitions": "the kinds of a laptop are fixed: kubectl api-resources",
}
for _same in ("attach", "proxy"):
    _WAYS[f"pods/{_same}"] = _WAYS["pods/exec" if _same == "attach" else "pods/portforward"]


def sentence(plural: str, subresource: str = "") -> str:
    """Why a method is not allowed, and what to do."""
    way = _WAYS.get(f"{plural}/{subresource}" if subresource else plural)
    return f"{MISSING}: {way}" if way else MISSING


def absent(plural: str) -> str:
    """Why nothing is found; a kind may be served by another version alone."""
    way = _WAYS.get(plural)
    return f"{ABSENT}: {way}" if way else ABSENT


def is_known(plural: str, subresource: str) -> bool:
    """Whether a part of a kind is one that a cluster has and a laptop does without."""
    return f"{plural}/{subresource}" in _WAYS
