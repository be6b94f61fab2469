"""What the laptop's API refuses before it stores anything, in the API server's words."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from controlplane.kubernetes.kinds import by_name
from controlplane.kubernetes.refusals import BadRequest, Invalid, Refusal
from controlplane.local.api import bodies
from controlplane.local.api.objects import Objects
from controlplane.local.api.resources import Resources, Write
from controlplane.local.controllers import inference
from controlplane.rollout.steps.mirror import mirror_route
from tests.support.manifests import canary, service

ENV = ("spec", "template", "spec", "containers", 0, "env")
VOLUMES = ("spec", "template", "spec", "volumes")
MOUNTS = ("spec", "template", "spec", "containers", 0, "volumeMounts")


def store() -> Resources:
    objects = Objects()
    for name in ("default", "models"):
        objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    async def resolve(uri: str, kept: str) -> None:
        return None

    return Resources(objects, resolve, lambda pod: None)


def create(one: dict[str, Any], resources: Resources | None = None) -> dict[str, Any]:
    """The object as it is stored."""
    kind = by_name(one["kind"])
    assert kind is not None
    how = Write(validation="Strict")
    made, _ = asyncio.run((resources or store()).create(kind, "models", one, how))
    return made


def job(*changes: tuple[tuple[str | int, ...], Any], **spec: Any) -> dict[str, Any]:
    """A Job with an emptyDir `a` at /a; `changes` set fields by their paths."""
    container = {
        "name": "main",
        "image": "busybox",
        "command": ["true"],
        "volumeMounts": [{"name": "a", "mountPath": "/a"}],
    }
    pod = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "a", "emptyDir": {}}],
    }
    one: dict[str, Any] = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "models"},
        "spec": {"template": {"metadata": {}, "spec": pod}, **spec},
    }
    for path, value in changes:
        here: Any = one
        for name in path[:-1]:
            here = here[name]
        here[path[-1]] = value
    return one


def held(kind: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "c"}, **fields}


def ignoring(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return job(podFailurePolicy={"rules": list(rules)}, **spec)


def codes(operator: str, *values: int) -> dict[str, Any]:
    return {"action": "FailJob", "onExitCodes": {"operator": operator, "values": list(values)}}


@pytest.mark.parametrize(
    ("one", "field", "said"),
    [
        (job(backoffLimit=-1), "spec.backoffLimit", "greater than or equal to 0"),
        (job(activeDeadlineSeconds=-1), "spec.activeDeadlineSeconds", "greater than"),
        (job(parallelism=-1), "spec.parallelism", "greater than or equal to 0"),
        (job(backoffLimit=2**40), "spec.backoffLimit", "less than or equal to 2147483647"),
        (job((("metadata", "name"), "j" * 64)), "metadata.name", "no more than 63"),
        (job(selector={"matchLabels": {"a": "b"}}), "spec.selector", "not auto-generated"),
        (job((("spec", "template", "spec", "containers"), [])), "*.containers", "Required"),
        (job((("spec", "template", "spec", "containers", 0, "image"), "")), "*.image", "Required"),
        (job(((*ENV,), [{"name": "A=B"}])), "*.env[0].name", "other than '='"),
        (job(((*ENV,), [{"name": ""}])), "*.env[0].name", "Required value"),
        (job(((*ENV,), [{"name": "A\0"}])), "*.env[0].name", "printable"),
        (job(((*ENV,), [{"name": "A", "valueFrom": {}}])), "*.valueFrom", "must specify one of"),
        (job(((*MOUNTS, 0, "name"), "b")), "*.volumeMounts[0].name", 'Not found: "b"'),
        (job(((*MOUNTS, 0, "subPath"), "../..")), "*.subPath", "must not contain '..'"),
        (job(((*MOUNTS, 0, "subPath"), "/etc")), "*.subPath", "must be a relative path"),
        (job(((*MOUNTS, 0, "subPath"), "a/../../b")), "*.subPath", "must not contain '..'"),
        (job((VOLUMES, [{"name": "../x", "emptyDir": {}}])), "*.volumes[0].name", "RFC 1123"),
        (job((VOLUMES, [{"name": "a"}])), "*.volumes[0]", "must specify a volume type"),
        (
            job((VOLUMES, [{"name": "a", "emptyDir": {}, "configMap": {"name": "c"}}])),
            "*.volumes[0]",
            "more than 1 volume type",
        ),
        (
            job((VOLUMES, [{"name": "a", "persistentVolumeClaim": {"claimName": "../../etc"}}])),
            "*.claimName",
            "RFC 1123",
        ),
        (
            job((VOLUMES, [{"name": "a", "secret": {"secretName": "/etc"}}])),
            "*.secretName",
            "RFC 1123",
        ),
        (ignoring(codes("In", 0)), "*.values", "must not be 0 for the In operator"),
        (ignoring(codes("In", 3, 1)), "*.values", "must be ordered"),
        (ignoring({"action": "FailJob"}), "*.rules[0]", "is required"),
        (ignoring(codes("In", 1), backoffLimit=-2), "spec.backoffLimit", "greater than"),
        (
            job(
                (("spec", "template", "spec", "restartPolicy"), "OnFailure"),
                podFailurePolicy={"rules": [codes("In", 1)]},
            ),
            "spec.template.spec.restartPolicy",
            'only "Never" is supported',
        ),
        (
            job(
                (
                    ("spec", "template", "spec", "containers", 0, "resources"),
                    {"requests": {"cpu": "2"}, "limits": {"cpu": 1}},
                )
            ),
            "*.resources.requests",
            "less than or equal to its limit",
        ),
        (held("ConfigMap", data={"../../x": "1"}), "data[../../x]", "valid config key"),
        (held("ConfigMap", data={"..": "1"}), "data[..]", "valid config key"),
        (held("ConfigMap", data={"a": "1"}, binaryData={"a": "AA=="}), "binaryData", "already"),
        (held("Secret", data={"a/b": "AA=="}), "data[a/b]", "valid config key"),
        (held("Namespace", metadata={"name": "a.b"}), "metadata.name", "RFC 1123 label"),
    ],
)
def test_what_a_cluster_refuses_is_refused_by_its_field(
    one: dict[str, Any], field: str, said: str
) -> None:
    """Each name, number and reference follows Kubernetes' rules, before anything acts on it."""
    with pytest.raises(Invalid) as refused:
        create(one)

    fields = [cause.field for cause in refused.value.causes]
    expected = field.removeprefix("*")
    assert any(found.endswith(expected) for found in fields), fields
    assert said in str(refused.value)


def test_every_rule_of_every_schema_can_be_evaluated() -> None:
    """A rule that cannot be evaluated refuses its object; none is broken on a full Job."""
    probe = {"httpGet": {"port": "http"}, "periodSeconds": 1}
    full = {
        "name": "main",
        "image": "busybox",
        "command": ["true"],
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}}],
        "envFrom": [{"prefix": "X_", "configMapRef": {"name": "c"}}, {"secretRef": {"name": "c"}}],
        "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}],
        "volumeMounts": [{"name": "a", "mountPath": "/a", "subPath": "b/c"}],
        "resources": {"requests": {"cpu": "100m", "memory": 5}, "limits": {"cpu": 1}},
        **dict.fromkeys(("livenessProbe", "readinessProbe", "startupProbe"), probe),
    }
    one = job(
        (("spec", "template", "spec", "containers"), [full]),
        (("spec", "template", "spec", "initContainers"), [{**full, "name": "first"}]),
        (
            VOLUMES,
            [
                {"name": "a", "configMap": {"name": "c", "items": [{"key": "k", "path": "d/k"}]}},
                {"name": "b", "emptyDir": {"sizeLimit": "1Gi"}},
                {
                    "name": "d",
                    "downwardAPI": {
                        "items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]
                    },
                },
            ],
        ),
        (("metadata", "labels"), {"example.org/a": "b"}),
        (("metadata", "annotations"), {"a": "any text"}),
        backoffLimit=0,
        podFailurePolicy={
            "rules": [
                {**codes("In", 1, 2), "onExitCodes": {**codes("In", 1)["onExitCodes"]}},
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
            ]
        },
    )

    made = create(one)

    conditions = made["spec"]["podFailurePolicy"]["rules"][1]["onPodConditions"]
    assert conditions == [{"type": "DisruptionTarget", "status": "True"}]


@pytest.mark.parametrize("text", ["aGVsbG8", "_-8=", "no base64 at all"])
def test_a_secrets_data_is_base64(text: str) -> None:
    """Unpadded, URL-safe and other text is refused as the API server's decoder does."""
    with pytest.raises(BadRequest, match="illegal base64 data at input byte"):
        create(held("Secret", data={"a": text}))


def test_lists_that_are_maps_have_each_key_once() -> None:
    """KServe's schema says which lists; a cluster refuses two variables of one name."""
    one = service()
    one["metadata"].pop("uid")
    one["spec"]["predictor"]["model"] |= {
        "modelFormat": {"name": "iris"},
        "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
    }

    with pytest.raises(Invalid, match=r'env\[1\]: Duplicate value: {"name":"A"}'):
        create(one)


def test_a_schemas_own_rules_are_evaluated() -> None:
    """Gateway API's CEL rules: a filter holds what its type says."""
    both = service(canary=[canary(0, "v2")])
    route, _ = inference.routes(both, {"iris-predictor": 1, "iris-canary-predictor": 1})
    one = mirror_route(both, route, "abc", "s3://models/iris/v2")
    one["spec"]["rules"][0]["filters"] = [{"type": "RequestMirror"}]

    with pytest.raises(Invalid, match=r"filter\.requestMirror must be specified for RequestMirror"):
        create(one)


BOMB = b"\n".join(
    [b"a0: &a0 [x, x, x]"]
    + [b"a%d: &a%d [%s]" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 10)]
)


@pytest.mark.parametrize(
    ("content", "media_type", "said"),
    [
        (BOMB, "application/yaml", "aliases"),
        (b"a: &a [*a]", "application/apply-patch+yaml", "aliases"),
        (b"[" * 100_000, "application/json", "depth limit"),
        (b"[" * 100_000, "application/yaml", "levels"),
        (b'{"a": 1e999}', "application/json", "infinity"),
        (b'{"a": ' + b"9" * 5000 + b"}", "application/json", "infinity"),
        (b"a: !!set {x}", "application/yaml", "not YAML"),
        (b"a: .inf", "application/json", "not JSON"),
    ],
)
def test_a_body_that_explodes_is_a_bad_request(content: bytes, media_type: str, said: str) -> None:
    """Aliases, nesting and numbers without end are refused before anything is made of them."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    scope = {"type": "http", "headers": [(b"content-type", media_type.encode())]}

    with pytest.raises(BadRequest, match=said):
        asyncio.run(bodies.read(Request(scope, receive), patch=True))


def test_what_says_immutable_is() -> None:
    """A Job's template, and data that is marked so."""
    resources, kind = store(), by_name("ConfigMap")
    assert kind is not None
    made = create(held("ConfigMap", data={"a": "1"}, immutable=True), resources)

    with pytest.raises(Invalid, match="field is immutable when `immutable` is set"):
        asyncio.run(
            resources.update(
                kind, "models", "c", {**made, "data": {"a": "2"}}, Write(), status=False
            )
        )


def test_a_running_jobs_start_cannot_be_taken_away() -> None:
    """A status without startTime is refused as in a cluster, and harms nobody."""
    resources, kind = store(), by_name("Job")
    assert kind is not None
    made = create(job(), resources)
    resources.objects.set_status("Job", "models", "j", {"startTime": made["metadata"]["name"]})

    with pytest.raises(Refusal, match="startTime cannot be removed for unsuspended job"):
        asyncio.run(
            resources.patch(
                kind,
                "models",
                "j",
                "application/merge-patch+json",
                {"status": {"startTime": None}},
                Write(),
                status=True,
            )
        )


@pytest.mark.parametrize("field", ["name", "generateName", "namespace"])
@pytest.mark.parametrize("value", [["j"], {"a": 1}, 7, True])
def test_a_name_that_is_no_text_is_refused(field: str, value: object) -> None:
    """It was looked up among names, which ended in a 500."""
    one = job()
    one["metadata"] = {"name": "j", **one["metadata"], field: value}
    if field == "generateName":
        del one["metadata"]["name"]

    with pytest.raises(BadRequest, match="must be a string"):
        create(one)
