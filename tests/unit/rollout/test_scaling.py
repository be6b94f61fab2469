"""A canary's ScaledObject, as a rollout makes it."""

import pytest
import yaml

from controlplane.rollout.steps.scaling import nudged, of_canary
from tests.support.required import ROOT

DEPLOYMENT = {"metadata": {"name": "iris-canary-predictor", "uid": "u-1"}}
MODELS = sorted(path.stem for path in (ROOT / "keda" / "canary").glob("*.yaml"))


@pytest.mark.parametrize("model", MODELS)
def test_a_canary_is_scaled_as_stable_is(model: str) -> None:
    """By its own Deployment's requests, with stable's rules and one replica at least."""
    stable, by_hand = (
        yaml.safe_load((ROOT / folder / f"{model}.yaml").read_text("utf-8"))
        for folder in ("keda", "keda/canary")
    )
    name = f"{model}-canary-predictor"
    stable["spec"] |= {"minReplicaCount": 0, "idleReplicaCount": 0}  # an overlay's
    made = of_canary(stable, {"metadata": {"name": name, "uid": "u-1"}})
    query = made["spec"]["triggers"][0]["metadata"].pop("query")

    assert f'deployment="{name}"' in query
    assert f'deployment="{model}-predictor"' not in query
    by_hand["spec"]["triggers"][0]["metadata"].pop("query")  # needs not see who wakes it
    assert made["spec"] == by_hand["spec"]
    assert made["metadata"]["labels"] == by_hand["metadata"]["labels"]


def test_a_canarys_scaling_goes_with_its_deployment() -> None:
    """The cluster removes what a Deployment owns when the Deployment is removed."""
    stable = yaml.safe_load((ROOT / "keda" / "iris.yaml").read_text("utf-8"))
    (owner,) = of_canary(stable, DEPLOYMENT)["metadata"]["ownerReferences"]

    assert owner == {"apiVersion": "apps/v1", "kind": "Deployment", **DEPLOYMENT["metadata"]}


def test_a_nudge_changes_the_object_each_time_and_its_meaning_never() -> None:
    """Absent and 0 are the same to KEDA; a value that somebody chose for a sleeper goes to 0."""
    assert nudged({"spec": {}}) == {"spec": {"initialCooldownPeriod": 0}}
    assert nudged({"spec": {"initialCooldownPeriod": 0}}) == {
        "spec": {"initialCooldownPeriod": None}
    }
