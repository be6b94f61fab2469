"""Random changes, kills and restarts: the platform always converges to what was asked for last.

RECONCILER_STEPS sets how many changes; by hand: RECONCILER_STEPS=500 ./serin test
tests/local/test_reconciler.py. The seed is printed, and RECONCILER_SEED repeats it.
"""

import json
import os
import random
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.support import trained
from tests.support.chance import seed
from tests.support.load import Load
from tests.support.platform import Platform, wait_for

STEPS = int(os.environ.get("RECONCILER_STEPS", "20"))
RESTART_EVERY = 100
SETTLE_EVERY = 25
MISSING = "s3://models/iris/000000000000"


class Api:
    """The API over plain HTTPS: many changes a second, which a kubectl each would not give."""

    def __init__(self, platform: Platform) -> None:
        config = yaml.safe_load((platform.home / "kubeconfig").read_text("utf-8"))
        self.server = config["clusters"][0]["cluster"]["server"]
        self.token = config["users"][0]["user"]["token"]
        self.tls = ssl.create_default_context(cafile=str(platform.home / "pki" / "ca.crt"))

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request: status and answer."""
        request = urllib.request.Request(
            f"{self.server}/apis/{path}",
            None if body is None else json.dumps(body).encode(),
            {
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/merge-patch+json",
            },
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30, context=self.tls) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def patch(self, spec: Any) -> int:
        """Merge into iris's spec."""
        return self.call("PATCH", f"{SERVICE}/iris", {"spec": spec})[0]


SERVICE = "serving.kserve.io/v1beta1/namespaces/models/inferenceservices"
SCALE = "apps/v1/namespaces/models/deployments/iris-predictor/scale"


def stable(uri: str, runtime: str = "serin-iris") -> dict[str, Any]:
    """A change of stable."""
    return {"predictor": {"model": {"storageUri": uri, "runtime": runtime}}}


def canary(percent: int, uri: str) -> dict[str, Any]:
    """A change of the canary."""
    model = {"modelFormat": {"name": "iris"}, "storageUri": uri}
    return {
        "canary": [{"trafficPercent": percent, "predictor": {"name": "canary", "model": model}}]
    }


@pytest.mark.timeout(300 + 6 * STEPS)
def test_it_always_converges_and_never_stops_serving(tmp_path: Path) -> None:
    """At least one replica of what served answers all the time; in the end nothing is left over."""
    chance = random.Random(seed("RECONCILER_SEED"))
    platform = Platform(tmp_path / "state")
    platform.publish(trained.brief("iris"))
    try:
        disturb(platform, chance)
    finally:
        platform.serin("down")
    assert platform.leftovers() == []


def disturb(platform: Platform, chance: random.Random) -> None:
    """Change things under load; check after every so many changes that it converged."""
    platform.serin("up", "iris", "--replicas", "2")
    first = platform.state()["models"]["iris"]["version"]
    second = platform.publish(trained.artifact("iris", "--seed=7"))
    good = [f"s3://models/iris/{one}" for one in (first, second)]
    api, load = Api(platform), Load(platform, clients=1)
    load.__enter__()
    begun = time.monotonic()
    try:
        for step in range(1, STEPS + 1):
            change(api, platform, chance, good)
            if step % SETTLE_EVERY == 0 or step == STEPS:
                settle(api, platform, chance.choice(good))
            if step % RESTART_EVERY == 0:
                load.__exit__(None, None, None)
                assert load.failures == [], f"step {step}"
                restart(platform)
                api, load = Api(platform), Load(platform, clients=1)
                load.__enter__()
            time.sleep(chance.choice([0, 0, 0, 0.05, 0.3]))
    finally:
        load.__exit__(None, None, None)
    print(f"{STEPS} steps in {time.monotonic() - begun:.0f} s")  # noqa: T201  for the one by hand

    assert load.failures == []
    assert set(load.versions) <= {first, second}


def change(api: Api, platform: Platform, chance: random.Random, good: list[str]) -> None:
    """One random change, valid or not, or one kill."""
    percent, uri = chance.choice([0, 10, 50, 100]), chance.choice(good)
    twice = {"canary": [*canary(60, uri)["canary"], *canary(60, uri)["canary"]]}
    possible = [stable(uri), canary(percent, uri), canary(percent, uri), {"canary": None}]
    impossible = [stable(MISSING), canary(50, MISSING), stable(uri, "nowhere")]
    refused = [{"predictor": {"timeout": "x"}}, canary(101, uri), twice]
    what = chance.choice(["possible"] * 5 + ["impossible"] * 3 + ["refused", "scale", "kill"])
    if what == "possible":
        assert api.patch(chance.choice(possible)) == 200
    elif what == "impossible":
        assert api.patch(chance.choice(impossible)) == 200
    elif what == "refused":
        assert api.patch(chance.choice(refused)) in {403, 422}
    elif what == "scale":
        api.call("PATCH", SCALE, {"spec": {"replicas": chance.choice([2, 3])}})
    else:
        ready = [pod for pod in platform.pods() if pod["ready"]]
        own = [pod["pid"] for pod in ready if pod["deployment"] == "iris-predictor"]
        if len(own) > 1:
            psutil.Process(chance.choice(own)).kill()


def settle(api: Api, platform: Platform, uri: str) -> None:
    """Ask for something possible and wait until exactly that runs."""
    assert api.patch({**stable(uri), "canary": None}) == 200

    def settled() -> bool:
        found = platform.state()["models"]["iris"]
        return bool(
            found["state"] == "Ready"
            and found["version"] == uri.rsplit("/", 1)[1]
            and all(pod["deployment"] == "iris-predictor" for pod in found["pods"])
        )

    wait_for(settled, 90, "the platform to run what was asked for last")
    known = {pod["pid"] for pod in platform.pods()}
    predictors = {
        one.pid for one in platform.processes() if "predictors.iris" in " ".join(one.cmdline())
    }
    assert predictors == known, "a predictor that nobody asked for runs"
    _, service = api.call("GET", f"{SERVICE}/iris")
    assert service["status"]["observedGeneration"] == service["metadata"]["generation"]


def restart(platform: Platform) -> None:
    """Kill the supervisor, whatever it was doing, and start it again."""
    (supervisor,) = [one for one in platform.processes() if "controlplane.local" in one.cmdline()]
    supervisor.kill()
    wait_for(lambda: not platform.processes(), 60, "the children's end")
    platform.serin("up", "iris")
