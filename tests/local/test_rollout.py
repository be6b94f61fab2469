"""What happens to requests while predictors die, are replaced, or refuse to start."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.support.load import Load
from tests.support.platform import Platform, wait_for

Fresh = Callable[..., Platform]
REQUESTS = 5000


def publish(platform: Platform) -> str:
    """Publish another version of iris and return it."""
    uri = platform.serin("train", "iris", "--seed", "7").stdout.splitlines()[-1]
    return uri.rsplit("/", 1)[-1]


def flip_a_byte(path: Path) -> None:
    """Change one bit in the middle of a file, as a bad disk would."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def iris(platform: Platform) -> dict[str, Any]:
    """What the platform says of iris."""
    found: dict[str, Any] = platform.state()["models"]["iris"]
    return found


def test_a_killed_replica_costs_no_request_and_comes_back(fresh: Fresh) -> None:
    """Of ≥ 5,000 requests under load none fails when one of two predictors gets kill -9."""
    platform = fresh("iris", "--replicas", "2")
    victim = platform.pods()[0]
    with Load(platform) as load:
        wait_for(lambda: load.answered > REQUESTS // 4, 60, "a quarter of the requests")
        psutil.Process(victim["pid"]).kill()
        wait_for(lambda: load.answered > REQUESTS, 60, "all requests")
        wait_for(lambda: iris(platform)["state"] == "Ready", 60, "the second replica")

    assert load.failures == []
    assert load.answered >= REQUESTS
    (restarted,) = [pod for pod in platform.pods() if pod["name"] == victim["name"]]
    assert restarted["restarts"] == 1
    assert restarted["pid"] != victim["pid"]


def test_a_replica_that_is_asked_to_leave_costs_no_request(fresh: Fresh) -> None:
    """SIGTERM from outside, as a drain sends it: it serves on until Envoy looks elsewhere."""
    platform = fresh("iris", "--replicas", "2")
    victim = platform.pods()[0]
    with Load(platform) as load:
        wait_for(lambda: load.answered > REQUESTS // 4, 60, "a quarter of the requests")
        leaving = psutil.Process(victim["pid"])
        leaving.terminate()
        wait_for(lambda: not leaving.is_running(), 60, "the replica to leave")
        enough = max(REQUESTS, load.answered + REQUESTS // 4)
        wait_for(lambda: load.answered > enough, 60, "the rest of the requests")

    assert load.failures == []


def test_up_newest_rolls_out_a_newer_version_without_losing_a_request(fresh: Fresh) -> None:
    """The old replica leaves only when the new one answers through the gateway."""
    platform = fresh("iris")
    old = iris(platform)["version"]
    new = publish(platform)
    assert iris(platform)["version"] == old
    with Load(platform) as load:
        wait_for(lambda: load.answered > 500, 60, "requests to the old version")
        platform.serin("up", "--newest", "iris")
        enough = load.answered + 500
        wait_for(lambda: load.answered > enough, 60, "requests to the new version")

    assert load.failures == []
    assert set(load.versions) == {old, new}
    assert iris(platform)["version"] == new


def test_a_corrupt_version_is_refused_and_the_old_one_goes_on(fresh: Fresh) -> None:
    """A byte flipped in a published ONNX file: `up` and `status` name the file.

    Once the store is right again the next try takes a fresh copy and succeeds.
    """
    platform = fresh("iris")
    old = iris(platform)["version"]
    new = publish(platform)
    published = platform.home / "s3" / "models" / "iris" / new / "model.onnx"
    flip_a_byte(published)
    with Load(platform, clients=2) as load:
        failed = platform.serin("up", "--newest", "iris", expect=1)
        status = platform.serin("status", expect=1)

    flip_a_byte(published)
    wait_for(lambda: iris(platform)["state"] == "Ready", 60, "the repaired version")

    assert iris(platform)["version"] == new
    assert "model.onnx" in failed.stderr.splitlines()[-1]
    assert f"{old} goes on serving" in failed.stderr
    assert "model.onnx" in status.stdout
    assert load.failures == []
    assert set(load.versions) == {old}


def test_a_version_whose_manifest_was_changed_is_refused(fresh: Fresh) -> None:
    """The version is the manifest's hash, checked before a predictor starts."""
    platform = fresh()
    (manifest,) = (platform.home / "s3" / "models" / "iris").glob("*/MANIFEST.json")
    manifest.write_text(manifest.read_text("utf-8") + " ", "utf-8")

    failed = platform.serin("up", "iris", expect=1)

    assert "MANIFEST.json is corrupt" in failed.stderr.splitlines()[-1]


def test_more_and_fewer_replicas(fresh: Fresh) -> None:
    """`up --replicas` scales what runs, in both directions, without losing a request."""
    platform = fresh("iris")
    with Load(platform, clients=2) as load:
        platform.serin("up", "iris", "--replicas", "3")
        three = platform.pods()
        platform.serin("up", "iris", "--replicas", "1")
        wait_for(lambda: len(platform.pods()) == 1, 60, "two pods to leave")

    assert len(three) == 3
    assert load.failures == []
