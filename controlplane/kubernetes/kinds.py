"""The kinds of object that are served here, as Kubernetes' discovery describes them. Pure."""

from dataclasses import dataclass, replace

READ = ("get", "list", "watch")
LOOK = ("get", "list")
ALL = ("create", "delete", "deletecollection", *READ, "patch", "update")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind and how it is reached."""

    group: str
    """Empty for the core group."""
    version: str
    name: str
    plural: str
    short: tuple[str, ...] = ()
    namespaced: bool = True
    verbs: tuple[str, ...] = ALL
    subresources: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    schema: str = "builtin"
    """The file of schemas/ that holds it; `none`: it is never read, only made."""

    @property
    def api_version(self) -> str:
        """As objects name it: v1, apps/v1."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        """As discovery names it."""
        return self.name.lower()

    @property
    def resource(self) -> str:
        """As messages name it: pods, deployments.apps."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def is_custom(self) -> bool:
        """Whether a CustomResourceDefinition describes it."""
        return self.schema not in {"builtin", "none"}


RBAC = "rbac.authorization.k8s.io"
KSERVE = "serving.kserve.io"
GATEWAY = "gateway.networking.k8s.io"
ENVOY_GATEWAY = "gateway.envoyproxy.io"
WORKLOAD = ("all",)

_DEFINITION = (
    *("apiextensions.k8s.io", "v1"),
    *("CustomResourceDefinition", "customresourcedefinitions"),
)

KINDS = (
    Kind("", "v1", "Namespace", "namespaces", ("ns",), namespaced=False),
    Kind("", "v1", "ConfigMap", "configmaps", ("cm",)),
    Kind("", "v1", "Secret", "secrets"),
    Kind("", "v1", "ServiceAccount", "serviceaccounts", ("sa",)),
    Kind(
        *("", "v1", "Pod", "pods", ("po",)),
        verbs=(*READ, "delete"),
        subresources=("log",),
        categories=WORKLOAD,
    ),
    # Controllers that run beside this one tell and lead by them, as in a cluster.
    Kind("", "v1", "Event", "events", ("ev",), verbs=("create", *READ)),
    Kind("coordination.k8s.io", "v1", "Lease", "leases"),
    Kind(RBAC, "v1", "Role", "roles"),
    Kind(RBAC, "v1", "RoleBinding", "rolebindings"),
    Kind(
        *("apps", "v1", "Deployment", "deployments", ("deploy",)),
        verbs=(*READ, "patch"),
        subresources=("scale",),
        categories=WORKLOAD,
    ),
    Kind("apps", "v1", "ReplicaSet", "replicasets", ("rs",), verbs=READ, categories=WORKLOAD),
    Kind(
        *("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", ("hpa",)),
        subresources=("status",),
        categories=WORKLOAD,
    ),
    Kind("batch", "v1", "Job", "jobs", subresources=("status",), categories=WORKLOAD),
    Kind(
        *(KSERVE, "v1beta1", "InferenceService", "inferenceservices", ("isvc",)),
        subresources=("status",),
        schema="inferenceservices",
    ),
    Kind(KSERVE, "v1alpha1", "ServingRuntime", "servingruntimes", schema="servingruntimes"),
    Kind(
        *("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects", ("so",)),
        subresources=("status",),
        schema="scaledobjects",
    ),
    Kind(
        *(GATEWAY, "v1", "HTTPRoute", "httproutes"),
        categories=("gateway-api",),
        schema="httproutes",
    ),
    Kind(
        *(ENVOY_GATEWAY, "v1alpha1", "SecurityPolicy", "securitypolicies", ("sp",)),
        subresources=("status",),
        categories=("envoy-gateway",),
        schema="securitypolicies",
    ),
    Kind(
        *(ENVOY_GATEWAY, "v1alpha1", "BackendTrafficPolicy", "backendtrafficpolicies", ("btp",)),
        subresources=("status",),
        categories=("envoy-gateway",),
        schema="backendtrafficpolicies",
    ),
    *(
        Kind(*names, short, namespaced, LOOK, categories=categories, schema="none")
        for names, short, namespaced, categories in (
            (("", "v1", "Service", "services"), ("svc",), True, WORKLOAD),
            (("", "v1", "Endpoints", "endpoints"), ("ep",), True, ()),
            (("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"), (), True, ()),
            (("", "v1", "Node", "nodes"), ("no",), False, ()),
            (("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"), ("pvc",), True, ()),
            (("", "v1", "PersistentVolume", "persistentvolumes"), ("pv",), False, ()),
            (("storage.k8s.io", "v1", "StorageClass", "storageclasses"), ("sc",), False, ()),
            (("metrics.k8s.io", "v1beta1", "PodMetrics", "pods"), (), True, ()),
            (("metrics.k8s.io", "v1beta1", "NodeMetrics", "nodes"), (), False, ()),
            (_DEFINITION, ("crd", "crds"), False, ()),
        )
    ),
)

_BY_NAME = {kind.name: kind for kind in KINDS}
OLD_AUTOSCALER = replace(_BY_NAME["HorizontalPodAutoscaler"], version="v1", subresources=())
"""The same objects in autoscaling/v1, which kubectl 1.30 and older runbooks write."""
SERVED = (*KINDS, OLD_AUTOSCALER)
"""What has a path: each kind in the version that is stored, and what is converted to it."""
_BY_PATH = {(kind.group, kind.version, kind.plural): kind for kind in SERVED}


def by_name(name: str) -> Kind | None:
    """The kind of this name."""
    return _BY_NAME.get(name)


def by_path(group: str, version: str, plural: str) -> Kind | None:
    """The kind that a URL names."""
    return _BY_PATH.get((group, version, plural))
