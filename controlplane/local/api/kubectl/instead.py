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
    "replicasets/scale": "scale its Deployment",
    "inferenceservices/scale": "patch spec.predictor.minReplicas, or scale the Deployment",
    "serviceaccounts/token": "there is one token, of the user who started this; it is in the "
    "kubeconfig, and ./serin env names that",
    "replicationcontrollers": "there are none, so there is no cluster-info dump: kubectl get all "
    "-A shows the objects, and ./serin logs the pods' words",
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
for _part, _same in (
    ("pods/attach", "pods/exec"),
    ("pods/proxy", "pods/portforward"),
    ("services/proxy", "pods/portforward"),
):
    _WAYS[_part] = _WAYS[_same]


def sentence(plural: str, subresource: str = "") -> str:
    """Why a method is not allowed, and what to do."""
    way = _WAYS.get(f"{plural}/{subresource}" if subresource else plural)
    return f"{MISSING}: {way}" if way else MISSING


def absent(plural: str) -> str:
    """Why nothing is found."""
    served = (
        f"{plural[:60]} of this group and version are not served on a laptop; kubectl "
        "api-resources lists what is"
    )
    return f"{ABSENT}: {_WAYS.get(plural, served)}"


def is_known(plural: str, subresource: str) -> bool:
    """Whether a part of a kind is one that a cluster has and a laptop does without."""
    return f"{plural}/{subresource}" in _WAYS
