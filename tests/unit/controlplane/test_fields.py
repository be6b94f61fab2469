"""No silence: each field is done, refused, or said not to be followed."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.kubernetes.kinds import KINDS, by_name
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import Invalid, Refusal, TooLarge
from controlplane.local import manifests
from controlplane.local.api.kubectl import answers
from controlplane.local.api.objects import Objects
from controlplane.local.api.resources import Resources, Write
from controlplane.local.api.rules import fields
from controlplane.statefolder import ROOT

CASES = ROOT.parent / "shared" / "cases"
VERDICTS: dict[str, dict[str, str]] = (
    json.loads((CASES / "verdicts.json").read_text("utf-8")) if CASES.exists() else {}
)


class Api:
    """The API's verbs on a store with the namespaces alone, and the Events that it wrote."""

    def __init__(self) -> None:
        self.events: list[str] = []
        objects = Objects()
        for name in ("default", "models"):
            objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

        async def resolve(uri: str, kept: str) -> None:
            return None

        def record(about: Object, said: str) -> None:
            self.events.append(said)

        self.resources = Resources(objects, resolve, lambda pod: None, record)

    def create(self, one: Object) -> list[str]:
        """What is warned of."""
        kind = by_name(one["kind"])
        assert kind is not None
        one = {**one, "metadata": {**one["metadata"], "namespace": "models"}}
        how = Write(validation="Strict")
        _, warnings = asyncio.run(self.resources.create(kind, "models", one, how))
        return warnings


def job(**pod: Any) -> Object:
    spec = {"restartPolicy": "Never", "containers": [{"name": "m", "image": "i"}], **pod}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {"template": {"spec": spec}},
    }


def test_the_document_of_fields_is_current() -> None:
    """docs/local-fields.md is what the table and the schemas say."""
    written = (ROOT / "docs" / "local-fields.md").read_text("utf-8")
    assert written == fields.document(), "run python -m controlplane.local.api.rules.fields"


def test_every_kind_has_its_fields_in_the_table() -> None:
    """A kind that is served without a word about its fields is a fault."""
    for kind in KINDS:
        assert list(fields.rows(kind)), kind.name


def test_what_is_not_followed_is_warned_of_and_an_event() -> None:
    """A field that nobody named in the table is said as well."""
    api = Api()

    warnings = api.create(
        job(
            hostNetwork=True,
            readinessGates=[{"conditionType": "a"}],
            securityContext={"runAsUser": 1},
        )
    )

    said = "\n".join(warnings)
    assert "spec.template.spec.hostNetwork: a laptop runs processes" in said
    assert "spec.template.spec.securityContext: a laptop runs processes" in said
    assert "spec.template.spec.readinessGates: is not followed on a laptop" in said
    (event,) = api.events
    assert all(warning in event for warning in warnings)


def test_a_place_a_device_and_a_claim_that_nobody_has_are_warned_of() -> None:
    """Such a Job waits in a cluster and runs here, so it must not look as if it had them."""
    rule = {"key": "gpu", "operator": "Exists"}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}
    warnings = Api().create(
        job(
            affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}},
            volumes=[{"name": "m", "persistentVolumeClaim": {"claimName": "nowhere"}}],
            containers=[
                {"name": "m", "image": "i", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
            ],
        )
    )

    for field in (
        "affinity: a laptop is one node",
        "containers[0].resources.limits.nvidia.com/gpu: no device is assigned",
        "volumes[0].persistentVolumeClaim.claimName: it is a folder of the state folder",
    ):
        assert any(f".{field}" in warning for warning in warnings), warnings


def test_what_asks_for_nothing_is_not_warned_of() -> None:
    """False, an empty list, and a default that the laptop follows."""
    assert Api().create(job(hostNetwork=False, tolerations=[], dnsPolicy="ClusterFirst")) == []


def test_what_cannot_be_left_out_is_refused() -> None:
    """A sidecar that would not start, and a volume that would be missing."""
    with pytest.raises(Invalid, match="hostPath: Forbidden: a laptop has volumes of"):
        Api().create(job(volumes=[{"name": "a", "hostPath": {"path": "/"}}]))
    sidecar = {"name": "s", "image": "i", "restartPolicy": "Always"}
    with pytest.raises(Invalid, match="no sidecars"):
        Api().create(job(initContainers=[sidecar]))


def mounting(count: int) -> Object:
    names = [f"v{index}" for index in range(count)]
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in names]
    volumes = [{"name": name, "emptyDir": {}} for name in names]
    container = {"name": "m", "image": "i", "volumeMounts": mounts}
    return job(containers=[container], volumes=volumes)


def test_an_object_of_very_many_parts_is_refused() -> None:
    """Before any schema or rule is asked of them, which would hold the API for minutes."""
    assert Api().create(mounting(2000)) == []
    with pytest.raises(TooLarge, match="limit is 20000 fields and items"):
        Api().create(mounting(10_000))


def test_each_mount_of_an_unknown_volume_is_named() -> None:
    """Volumes are looked up by name, not searched for each mount."""
    one = mounting(3)
    del one["spec"]["template"]["spec"]["volumes"][1]

    with pytest.raises(Invalid, match=r"volumeMounts\[1\].name: Not found: \"v1\""):
        Api().create(one)


def test_this_repositorys_services_say_nothing() -> None:
    """A first `kubectl apply -k` prints no wall; its Jobs say that nothing isolates them."""
    for one in manifests.read(ROOT):
        if by_name(one["kind"]) and one["kind"] != "Namespace":
            assert Api().create(one) == [], one
    for path in sorted((ROOT / "training" / "jobs").glob("*/job.yaml")):
        warnings = Api().create(yaml.safe_load(path.read_text("utf-8")))
        assert {warning.split(":")[0].rpartition(".")[2] for warning in warnings} == {
            "securityContext"
        }


def test_a_warning_is_one_line_of_ascii() -> None:
    """A field's name may be anything; a header may not."""
    response = answers.answer({}, 200, ['a "ü"\r\nX: y'] * 100)

    warnings = response.headers.getlist("warning")
    assert 1 < len(warnings) <= 50
    assert all(text.isascii() and text.isprintable() for text in warnings)


@pytest.mark.skipif(not VERDICTS, reason="needs ../shared/cases")
@pytest.mark.parametrize("name", VERDICTS)
def test_a_real_clusters_verdict_is_the_laptops(name: str) -> None:
    """Or the table of fields says that the laptop refuses what the cluster takes."""
    path = CASES / name
    path = path if path.exists() else CASES / Path(name).name
    for document in yaml.safe_load_all(path.read_text("utf-8")):
        items = document["items"] if document["kind"] == "List" else [document]
        for one in items:
            _compare(one, VERDICTS[name]["verdict"])


def _compare(one: Object, verdict: str) -> None:
    refused: Refusal | None = None
    try:
        Api().create(one)
    except Refusal as refusal:
        refused = refusal
    if refused is None or verdict == "refuse":
        assert (verdict == "refuse") is (refused is not None)
        return
    listed = (ROOT / "docs" / "local-fields.md").read_text("utf-8")
    words = [cause.message.removeprefix("Forbidden: ") for cause in refused.causes]
    assert words
    assert all(f"**refused**: {text} |" in listed for text in words), str(refused)
