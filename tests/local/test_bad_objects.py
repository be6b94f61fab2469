"""Manifests that ended, froze or fooled the platform once: all at once, beside a served model.

CASES_ROUNDS sets how often, each time in another order; by hand: CASES_ROUNDS=100 ./serin test
tests/local/test_bad_objects.py. The seed is printed, and CASES_SEED repeats it.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import yaml

from tests.support.chance import seed
from tests.support.kubectl import Kubectl
from tests.support.load import Clients
from tests.support.platform import Platform, wait_for
from tests.support.required import shared_cases

CHUNKS = 4
ROUNDS = int(os.environ.get("CASES_ROUNDS", "1"))
ROUND_SECONDS = 120
PIXELS = {"name": "input-0", "datatype": "FP32", "shape": [1, 784], "data": [0.0, 1.0] * 392}


def manifests(folder: Path) -> list[Path]:
    """Every file that is a Kubernetes object."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in {".json", ".yaml"}]
    found = [(path, yaml.safe_load(path.read_text("utf-8"))) for path in files]
    return [path for path, one in found if isinstance(one, dict) and "apiVersion" in one]


def unready(kubectl: Kubectl, kind: str) -> set[str]:
    """Objects of a kind that say that they are not ready."""
    listed: list[dict[str, Any]] = kubectl.get(kind)["items"]
    return {
        one["metadata"]["name"]
        for one in listed
        for condition in (one.get("status") or {}).get("conditions", ())
        if (condition["type"], condition["status"]) == ("Ready", "False")
    }


def unnamed(platform: Platform, kubectl: Kubectl) -> set[str]:
    """ScaledObjects of Deployments that are there, not ready and not named by `serin status`."""
    there = {item["metadata"]["name"] for item in kubectl.get("deployments")["items"]}
    scaled = {
        item["metadata"]["name"]
        for item in kubectl.get("scaledobjects")["items"]
        if item["spec"]["scaleTargetRef"]["name"] in there
    }
    faults = {fault["name"] for fault in platform.state()["faults"]}
    return scaled & set(unready(kubectl, "scaledobjects")) - faults


@pytest.mark.timeout(300 + ROUNDS * ROUND_SECONDS)
def test_every_bad_manifest_at_once_harms_no_other_model(fresh: Callable[..., Platform]) -> None:
    """No request is lost, the API answers, status names each fault, and up works after a kill."""
    cases = manifests(shared_cases())
    chance = random.Random(seed("CASES_SEED"))
    platform = fresh("iris", "mnist-forest")
    kubectl = Kubectl(platform)
    address = urlsplit(platform.url).netloc

    with Clients(address, address, "mnist-forest", [PIXELS], 2) as load:
        for place in range(ROUNDS):
            begun = time.monotonic()
            chance.shuffle(cases)
            apply_all(platform, kubectl, cases)
            goes_on(load)
            if place < ROUNDS - 1:
                clear(kubectl)
            spent = time.monotonic() - begun
            print(f"round {place}: {spent:.1f} s, {load.answered} answers")  # noqa: T201  by hand
        assert load.failures == []

    (supervisor,) = [one for one in platform.processes() if "controlplane.local" in one.cmdline()]
    supervisor.send_signal(signal.SIGKILL)
    psutil.wait_procs([supervisor], 30)
    platform.serin("up", "mnist-forest")
    assert platform.ask("/v2/models/mnist-forest/infer", {"inputs": [PIXELS]})[0] == 200
    kubectl.run("delete", "isvc", "mnist-forest", "--wait=false")
    clear(kubectl)
    wait_for(lambda: kubectl.get("isvc")["items"] == [], 60, "everything to go")


def goes_on(load: Clients) -> None:
    """More answers come."""
    answered = load.answered
    wait_for(lambda: load.answered > answered + 100, 60, "answers to go on")


def apply_all(platform: Platform, kubectl: Kubectl, cases: list[Path]) -> None:
    """Apply all of them, and find each fault named."""
    for place in range(CHUNKS):
        files = [word for path in cases[place::CHUNKS] for word in ("-f", str(path))]
        kubectl.run("apply", "--validate=false", *files, expect=1)  # a cluster refuses some
        assert kubectl.out("get", "--raw", "/readyz") == "ok"
    cleared = ("--subresource=status", "--type=merge", "-p", '{"status": {"startTime": null}}')
    kubectl.run("patch", "job/w-st", *cleared, expect=1)
    wait_for(lambda: "c-tneg" in unready(kubectl, "isvc"), 60, "the InferenceService's word")
    wait_for(lambda: unnamed(platform, kubectl) == set(), 60, "status to name each ScaledObject")
    wait_for(lambda: silent(platform, kubectl) == set(), 60, "status to say why")
    state = platform.state()
    assert "timeouts.request" in state["models"]["c-tneg"]["reason"]
    assert not [fault for fault in state["faults"] if fault["kind"] == "platform"]


def silent(platform: Platform, kubectl: Kubectl) -> set[str]:
    """InferenceServices that are not ready and of which `serin status` gives no reason."""
    models = platform.state()["models"]
    return {name for name in unready(kubectl, "isvc") if not models.get(name, {}).get("reason")}


def clear(kubectl: Kubectl) -> None:
    """Delete all but the model under load."""
    names = kubectl.out("get", "isvc,so", "-o", "name").split()
    if others := [name for name in names if "forest" not in name]:
        kubectl.run("delete", "--wait=false", *others)
    kubectl.run("delete", "jobs,secrets,configmaps", "--all", "--wait=false")
