"""`serin models` against a real S3 server, and `serin rollback` under load."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from controlplane.local.intake import versioned
from controlplane.store import artifacts
from controlplane.store.catalog import Catalog
from controlplane.store.s3 import Store
from controlplane.store.served import target
from predictors.runtime import MANIFEST, TensorSpec, build_manifest
from tests.support import trained
from tests.support.load import Load
from tests.support.platform import Platform, wait_for
from tests.support.required import ROOT
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, S3Server
from training.publish.registry import Registry

SPECS = (TensorSpec("x", "FP32", (-1, 1)),)


@dataclass
class Shop:
    """A store, a state folder without a platform, and three versions of one model."""

    s3: S3Server
    home: Path
    versions: list[str]
    """The oldest first."""

    def serin(self, *arguments: str, expect: int = 0, **env: str) -> str:
        """Run a verb; what it printed on stdout."""
        environment = {
            **{name: value for name, value in os.environ.items() if name != "KUBECONFIG"},
            **self.s3.environment,
            "SERIN_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            **env,
        }
        command = [sys.executable, "-P", "-m", "scripts.cli", *arguments]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == expect, done
        return done.stdout if expect == 0 else done.stdout + done.stderr

    def document(self, *arguments: str) -> Any:
        """Run a verb with -o json."""
        return json.loads(self.serin(*arguments, "-o", "json"))

    def folder(self, version: str, model: str = "toy") -> Path:
        """Where the S3 server keeps a version."""
        return self.s3.folder / "models" / model / version


def artifact(
    folder: Path, weights: bytes, accuracy: float, model: str = "toy", *, smoke: bool = False
) -> Path:
    """An artifact that nobody could serve: two files and a manifest."""
    folder.mkdir()
    (folder / "model.onnx").write_bytes(weights)
    (folder / "notes.txt").write_bytes(b"for people")
    manifest = build_manifest(
        folder,
        model=model,
        engine="onnxruntime",
        inputs=SPECS,
        outputs=SPECS,
        metrics={"accuracy": accuracy, **({"smoke": True} if smoke else {})},
        data={"name": "made up"},
        code={},
        golden_sample={"inputs": [], "outputs": []},
    )
    (folder / MANIFEST).write_bytes(manifest)
    return folder


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Published in a known order: the store's clock is what counts, so files are dated."""
    root = tmp_path / "s3"
    (root / "models").mkdir(parents=True)
    server = S3Server(root)
    server.start()
    made = Shop(server, tmp_path / "home", [])
    registry = Registry(server.environment)
    for number in range(3):
        folder = artifact(tmp_path / f"v{number}", b"w" * (1000 + number), 0.9 + number / 100)
        made.versions.append(registry.publish(folder, "toy").version)
    registry.publish(artifact(tmp_path / "other", b"w", 0.5, "other"), "other")
    for number, version in enumerate(made.versions):
        age = timedelta(days=10 - number).total_seconds()
        for path in made.folder(version).iterdir():
            moment = path.stat().st_mtime - age
            os.utime(path, (moment, moment))
    server.stop()  # it remembers times
    server.start()
    yield made
    server.stop()


def test_models_are_listed_shown_and_compared(shop: Shop) -> None:
    """As a table and as JSON; a version by its beginning; differences by field."""
    first, second, third = shop.versions
    table = shop.serin("models").splitlines()
    listed = shop.document("models", "list", "toy")["items"]
    shown = shop.document("models", "show", "toy", third[:6])
    text = shop.serin("models", "show", "toy", third[:6])
    compared = shop.document("models", "diff", "toy", first, second)

    assert table[0].split() == ["MODEL", "VERSION", "CREATED", "SIZE", "METRICS", "SERVING"]
    assert [line.split()[:2] for line in table[2:]] == [
        ["toy", version] for version in (third, second, first)
    ]
    assert "accuracy 0.92" in table[2]
    assert [one["version"] for one in listed] == [third, second, first]
    assert listed[0]["storageUri"] == f"s3://models/toy/{third}"
    assert listed[0]["sizeBytes"] == sum(
        path.stat().st_size for path in shop.folder(third).iterdir()
    )
    assert shown["manifest"]["metrics"] == {"accuracy": 0.92}
    assert "metrics.accuracy" in text
    assert "files.model.onnx.size_bytes" in text
    assert {one["field"]: (one["from"], one["to"]) for one in compared["differences"]} | {
        "files.model.onnx.sha256": ...
    } == {
        "metrics.accuracy": (0.9, 0.91),
        "files.model.onnx.size_bytes": (1000, 1001),
        "files.model.onnx.sha256": ...,
    }
    assert "metrics.accuracy" in shop.serin("models", "diff", "toy", first, second)


def test_a_version_that_is_not_there_is_a_sentence_with_those_that_are(shop: Shop) -> None:
    """An unknown model, an unknown beginning, one that begins several, a store that is gone."""
    unknown = shop.serin("models", "list", "nobody", expect=2)
    assert "There is no model nobody. There are: " in unknown
    assert "other, toy." in unknown
    assert shop.versions[0] in shop.serin("models", "show", "toy", "zzz", expect=1)
    assert "begins several versions of toy" in shop.serin("models", "show", "toy", "", expect=1)
    shop.s3.stop()
    gone = shop.serin("models", expect=1)
    assert f"The S3 store at {shop.s3.endpoint} does not answer" in gone
    assert len(gone.splitlines()) == 1


def test_verify_names_what_is_damaged(shop: Shop) -> None:
    """A flipped byte, a lost file, a changed manifest; exit 1, and the sound ones are called so."""
    first, second, third = shop.versions
    assert shop.serin("models", "verify").count("sound") == 4
    weights = shop.folder(first) / "model.onnx"
    weights.write_bytes(b"v" + weights.read_bytes()[1:])
    (shop.folder(second) / "notes.txt").unlink()
    manifest = shop.folder(third) / MANIFEST
    manifest.write_bytes(manifest.read_bytes() + b" ")
    shop.s3.stop()  # it remembers folders
    shop.s3.start()
    told = shop.serin("models", "verify", expect=1)

    assert f"toy/{first}  damaged\n  model.onnx: expected sha256" in told
    assert f"toy/{second}  damaged\n  notes.txt: missing" in told
    assert f"toy/{third}  damaged\n  MANIFEST.json: its sha256 begins with" in told
    assert "3 of 4 versions are damaged" in told
    assert shop.serin("models", "verify", "other").count("sound") == 1


def test_gc_keeps_the_newest_and_what_a_cluster_serves(shop: Shop, tmp_path: Path) -> None:
    """It asks kubectl's cluster, refuses to guess without one, and deletes the rest whole."""
    first, second, third = shop.versions
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    services = {
        "items": [{"kind": "InferenceService", "spec": {"uri": f"s3://models/toy/{first}"}}]
    }
    kubectl.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(services)}\nEND\n")
    kubectl.chmod(0o755)
    path = f"{kubectl.parent}:{os.environ['PATH']}"

    refused = shop.serin("models", "gc", "--keep", "1", expect=1, PATH="/nowhere")
    tried = shop.serin("models", "gc", "--keep", "1", "--dry-run", PATH=path)
    before = shop.document("models")["items"]
    deleted = shop.serin("models", "gc", "--keep", "1", PATH=path)
    after = shop.document("models", "list", "toy")["items"]
    shop.serin("models", "gc", "--keep", "1", "--no-cluster")

    assert "--no-cluster" in refused
    assert f"would delete toy/{second}" in tried
    assert len(before) == 4
    assert deleted.startswith(f"deleted toy/{second}")
    assert len(deleted.splitlines()) == 1
    assert [one["version"] for one in after] == [third, first]
    assert not shop.folder(second).exists()
    assert [one["version"] for one in shop.document("models", "list", "toy")["items"]] == [third]


def test_a_smoke_version_is_never_the_newest(shop: Shop, tmp_path: Path) -> None:
    """It is not served unless it is named, and pushes no model out of what gc keeps."""
    registry = Registry(shop.s3.environment)
    registry.publish(artifact(tmp_path / "smoke", b"s", 0.1, smoke=True), "toy")
    registry.publish(artifact(tmp_path / "only", b"s", 0.1, "sketch", smoke=True), "sketch")
    server = Store(shop.s3.endpoint, ACCESS_KEY, SECRET_KEY)

    assert artifacts.newest(server, "s3://models/toy") == shop.versions[-1]
    assert artifacts.newest(server, "s3://models/sketch") is None
    back = target(Catalog(server), "toy", f"s3://models/toy/{shop.versions[-1]}", [], None)
    assert back.version == shop.versions[-2]

    deleted = shop.serin("models", "gc", "--keep", "1", "--no-cluster")

    assert shop.versions[-1] not in deleted
    assert len(deleted.splitlines()) == 2


def test_a_manifest_without_a_version_keeps_the_chosen_one(shop: Shop) -> None:
    """As long as its model has one; what was chosen of another model does not count."""
    server = Store(shop.s3.endpoint, ACCESS_KEY, SECRET_KEY)
    first, _, newest = shop.versions

    def version(uri: str, kept: str = "") -> str | None:
        return asyncio.run(versioned(server, uri, kept))

    assert version("s3://models/toy") == f"s3://models/toy/{newest}"
    assert version("s3://models/toy/", f"s3://models/toy/{first}") == f"s3://models/toy/{first}"
    assert version("s3://models/toy", "s3://models/toy/gone") == "s3://models/toy/gone"
    assert version("s3://models/toy", "s3://models/other/1") == f"s3://models/toy/{newest}"
    assert version("s3://models/none", "s3://models/none/gone") is None
    assert version(f"s3://models/toy/{first}") is None

    placeholder = "s3://models/toy/untrained"  # as overlays have it
    assert version(placeholder) == f"s3://models/toy/{newest}"
    assert version(placeholder, f"s3://models/toy/{first}") == f"s3://models/toy/{first}"
    assert version("s3://models/toy", placeholder) == f"s3://models/toy/{newest}"


def test_gc_removes_what_was_left_half_published_and_no_upload_under_way(shop: Shop) -> None:
    """Without a manifest it is nobody's version; a day old it is nobody's upload either."""
    first, second, third = shop.versions
    for version in (first, third):
        (shop.folder(version) / MANIFEST).unlink()
    for path in shop.folder(third).iterdir():
        os.utime(path)
    shop.s3.stop()
    shop.s3.start()
    deleted = shop.serin("models", "gc", "--keep", "9", "--no-cluster")

    assert f"deleted toy/{first}" in deleted
    assert not shop.folder(first).exists()
    assert shop.folder(second).exists()
    assert (shop.folder(third) / "model.onnx").exists()


def test_two_publishers_of_two_versions_at_once_both_complete(shop: Shop, tmp_path: Path) -> None:
    """Neither waits for the other or touches what it wrote."""
    start = threading.Barrier(2)
    versions: list[str] = []

    def publish(number: int) -> None:
        folder = artifact(tmp_path / f"at-once-{number}", b"w" * 3_000_000, number / 10)
        registry = Registry(shop.s3.environment)
        start.wait(timeout=10)
        versions.append(registry.publish(folder, "toy").version)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert len(set(versions)) == 2
    assert shop.serin("models", "verify", "toy").count("sound") == 5


@pytest.mark.timeout(300)  # four rollouts, one after the other
def test_rollback_goes_back_and_forth_and_loses_no_request(
    fresh: Callable[..., Platform],
) -> None:
    """v1 → v2 → v1 → v2 under load; gc keeps what a rollback needs; a wrong one changes nothing."""
    platform = fresh("iris")
    old = platform.state()["models"]["iris"]["version"]
    new = platform.publish(trained.artifact("iris", "--seed=7"))
    platform.serin("up", "--newest", "iris")
    with Load(platform) as load:
        wait_for(lambda: load.answered > 100, 60, "requests")
        said = platform.serin("rollback", "iris").stdout
        rolled_back = platform.state()["models"]["iris"]["version"]
        platform.serin("rollback", "iris")
        forth = platform.state()["models"]["iris"]["version"]
        platform.serin("rollback", "iris", "--to", old[:8])
        enough = load.answered + 100
        wait_for(lambda: load.answered > enough, 60, "requests to what was rolled back to")
    listed = json.loads(platform.serin("models", "list", "iris", "-o", "json").stdout)["items"]
    platform.serin("models", "gc", "--keep", "1")
    kept = json.loads(platform.serin("models", "list", "iris", "-o", "json").stdout)["items"]
    unknown = platform.serin("rollback", "iris", "--to", "zzz", expect=1)
    nobody = platform.serin("rollback", "nobody", expect=2)

    assert said == f"iris serves {old}.\n"
    assert (rolled_back, forth) == (old, new)
    assert load.failures == []
    assert set(load.versions) == {old, new}
    assert {one["version"]: one["readyPods"] for one in listed}[old] == 1
    assert {one["version"] for one in kept} >= {old, new}
    assert "No version of iris begins with 'zzz'" in unknown.stderr
    assert "There is no model nobody. There are: " in nobody.stderr
    assert platform.state()["models"]["iris"]["version"] == old


@pytest.mark.timeout(300)
def test_rollback_to_a_damaged_version_leaves_the_current_one_serving(
    fresh: Callable[..., Platform],
) -> None:
    """It never answers its golden sample, so no request reaches it; exit 1 says why."""
    platform = fresh("iris")
    old = platform.state()["models"]["iris"]["version"]
    platform.publish(trained.artifact("iris", "--seed=7"))
    platform.serin("up", "--newest", "iris")
    new = platform.state()["models"]["iris"]["version"]
    model = platform.home / "s3" / "models" / "iris" / old / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    shutil.rmtree(platform.home / "models" / "iris" / old)
    failed = platform.serin("rollback", "iris", expect=1)

    assert "model.onnx" in failed.stderr
    assert platform.infer()[1]["model_version"] == new
    assert platform.serin("rollback", "iris", "--to", new).returncode == 0
