"""Manifests that ended, froze or fooled the platform once: all at once, beside a served model."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import yaml

from tests.support.kubectl import Kubectl
from tests.support.load import Clients
from tests.support.platform import Platform, wait_for
from tests.support.required import shared_cases

CHUNKS = 4
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


def test_every_bad_manifest_at_once_harms_no_other_model(fresh: Callable[..., Platform]) -> None:
    """No request is lost, the API answers, status names each fault, and up works after a kill."""
    cases = manifests(shared_cases())
    seed = int(os.environ.get("CASES_SEED") or random.randrange(2**32))
    print(f"CASES_SEED={seed}")  # noqa: T201  repeats it
    random.Random(seed).shuffle(cases)
    platform = fresh("iris", "mnist-forest")
    kubectl = Kubectl(platform)
    address = urlsplit(platform.url).netloc

    with Clients(address, address, "mnist-forest", [PIXELS], 2) as load:
        for place in range(CHUNKS):
            files = [word for path in cases[place::CHUNKS] for word in ("-f", str(path))]
            kubectl.run("apply", "--validate=false", *files, expect=1)  # a cluster refuses some
            assert kubectl.out("get", "--raw", "/readyz") == "ok"
        cleared = ("--subresource=status", "--type=merge", "-p", '{"status": {"startTime": null}}')
        kubectl.run("patch", "job/w-st", *cleared, expect=1)
        wait_for(lambda: "c-tneg" in unready(kubectl, "isvc"), 30, "the InferenceService's word")
        answered = load.answered
        wait_for(lambda: load.answered > answered + 100, 30, "answers to go on")
    assert load.failures == []

    state = platform.state()
    assert "timeouts.request" in state["models"]["c-tneg"]["reason"]
    for name in unready(kubectl, "isvc"):
        assert state["models"][name]["reason"], name
    wait_for(lambda: unnamed(platform, kubectl) == set(), 30, "status to name each ScaledObject")
    assert not [fault for fault in state["faults"] if fault["kind"] == "platform"]

    (supervisor,) = [one for one in platform.processes() if "controlplane.local" in one.cmdline()]
    supervisor.send_signal(signal.SIGKILL)
    psutil.wait_procs([supervisor], 30)
    platform.serin("up", "mnist-forest")
    assert platform.ask("/v2/models/mnist-forest/infer", {"inputs": [PIXELS]})[0] == 200
    kubectl.run("delete", "isvc,jobs,scaledobjects,secrets,configmaps", "--all", "--wait=false")
    wait_for(lambda: kubectl.get("isvc")["items"] == [], 30, "everything to go")
