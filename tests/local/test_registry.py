"""The registry against a real S3 server."""

import threading
from pathlib import Path

import obstore
import pytest

from predictors.runtime import MANIFEST, ArtifactError, TensorSpec, build_manifest, read_artifact
from tests.support.s3 import S3Server
from training.publish.registry import Registry, RegistryError, SettingsError, StoreError

SPECS = (TensorSpec("x", "FP32", (-1, 1)),)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """Two files, one of them large enough for a multipart upload, and their manifest."""
    return _artifact(tmp_path / "artifact", b"weights" * 1_000_000)


def _artifact(folder: Path, weights: bytes, model: str = "toy") -> Path:
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"for people")
    (folder / "model.onnx").write_bytes(weights)
    manifest = build_manifest(
        folder,
        model=model,
        engine="onnxruntime",
        inputs=SPECS,
        outputs=SPECS,
        metrics={},
        data={},
        code={},
        golden_sample={"inputs": [], "outputs": []},
    )
    (folder / MANIFEST).write_bytes(manifest)
    return folder


def _stored(s3: S3Server, version: str) -> Path:
    return s3.folder / "models" / "toy" / version


def test_a_published_version_is_the_artifact_byte_for_byte(s3: S3Server, artifact: Path) -> None:
    """What lies under the URI verifies, and its name is the hash of its manifest."""
    published = Registry(s3.environment).publish(artifact, "toy")

    assert published.created
    assert published.uri == f"s3://models/toy/{published.version}"
    assert published.version == read_artifact(_stored(s3, published.version)).version
    assert (artifact / "model.onnx").read_bytes() == (
        _stored(s3, published.version) / "model.onnx"
    ).read_bytes()


def test_publishing_again_changes_nothing(s3: S3Server, artifact: Path) -> None:
    """The same bytes give the same version, and no object is written a second time."""
    store = Registry(s3.environment)
    first = store.publish(artifact, "toy")
    before = {p: p.stat().st_mtime_ns for p in s3.folder.rglob("*") if p.is_file()}

    again = store.publish(artifact, "toy")

    assert not again.created
    assert first.version == again.version
    assert before == {p: p.stat().st_mtime_ns for p in s3.folder.rglob("*") if p.is_file()}


def test_the_newest_version_comes_first(s3: S3Server, tmp_path: Path) -> None:
    """Versions are ordered by when their manifests were written, other models' left out."""
    store = Registry(s3.environment)
    published = [
        store.publish(_artifact(tmp_path / name, name.encode()), "toy").version
        for name in ("one", "two", "three")
    ]
    store.publish(_artifact(tmp_path / "other", b"one", model="toy-2"), "toy-2")

    assert list(reversed(published)) == [one.version for one in store.versions("toy")]


def test_a_model_that_was_never_published_has_no_versions(s3: S3Server) -> None:
    """An empty bucket is no error."""
    assert Registry(s3.environment).versions("toy") == []


def test_a_half_published_version_is_invisible_until_it_is_completed(
    s3: S3Server, artifact: Path
) -> None:
    """Files without a manifest are no version; publishing again makes them one."""
    store = Registry(s3.environment)
    version = store.publish(artifact, "toy").version
    (_stored(s3, version) / MANIFEST).unlink()
    (_stored(s3, version) / "a.txt").unlink()
    s3.stop()  # rclone caches folders, so it must not see what we did behind its back
    s3.start()

    assert store.versions("toy") == []

    completed = store.publish(artifact, "toy")

    assert completed.created
    assert [completed.version] == [one.version for one in store.versions("toy")]
    assert read_artifact(_stored(s3, version)).version == version


@pytest.mark.parametrize("weights", [b"weights", b"others!"], ids=["one version", "two versions"])
def test_two_publishers_at_once_both_complete(
    s3: S3Server, artifact: Path, tmp_path: Path, weights: bytes
) -> None:
    """No lock is needed: what both write is the same bytes, or under another version."""
    start = threading.Barrier(2)
    uris: list[str] = []

    def publish(folder: Path) -> None:
        store = Registry(s3.environment)
        start.wait(timeout=10)
        uris.append(store.publish(folder, "toy").uri)

    folders = (artifact, _artifact(tmp_path / "other", weights * 1_000_000))
    threads = [threading.Thread(target=publish, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    versions = {uri.rpartition("/")[2] for uri in uris}
    assert len(uris) == 2
    assert versions == {read_artifact(folder).version for folder in folders}
    for version in versions:
        assert read_artifact(_stored(s3, version)).version == version


def test_a_store_lost_halfway_is_one_clear_error_and_a_retry_completes(
    s3: S3Server, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the endpoint, nothing is visible, and the second try publishes."""
    store = Registry(s3.environment)
    put = obstore.put
    keys: list[str] = []

    def put_then_lose_the_store(client: object, key: str, body: object) -> object:
        if keys:
            s3.stop()
        keys.append(key)
        return put(client, key, body)  # type: ignore[arg-type]  # passed on as they came

    with monkeypatch.context() as patch:
        patch.setattr(obstore, "put", put_then_lose_the_store)
        with pytest.raises(StoreError, match=rf"{s3.endpoint}: nothing answers there"):
            store.publish(artifact, "toy")
    s3.start()

    assert store.versions("toy") == []
    assert store.publish(artifact, "toy").created
    assert len(store.versions("toy")) == 1


def test_a_flipped_byte_is_found_by_readers_and_healed_by_publishing_again(
    s3: S3Server, artifact: Path
) -> None:
    """A reader refuses and names the file; the same bytes published again repair the version."""
    store = Registry(s3.environment)
    version = store.publish(artifact, "toy").version
    damaged = _stored(s3, version) / "model.onnx"
    weights = bytearray(damaged.read_bytes())
    weights[1000] ^= 1
    damaged.write_bytes(weights)

    with pytest.raises(ArtifactError, match=r"model\.onnx"):
        read_artifact(_stored(s3, version))

    repaired = store.publish(artifact, "toy")

    assert not repaired.created
    assert read_artifact(_stored(s3, version)).version == version


def test_a_changed_artifact_is_not_published(s3: S3Server, artifact: Path) -> None:
    """A file edited after its manifest was written stops the publisher, not the reader."""
    (artifact / "a.txt").write_bytes(b"other words")

    with pytest.raises(ArtifactError, match=r"a\.txt"):
        Registry(s3.environment).publish(artifact, "toy")
    assert list((s3.folder / "models").iterdir()) == []


def test_an_empty_file_is_not_published(s3: S3Server, tmp_path: Path) -> None:
    """KServe's storage initializer skips empty objects, so a pod would never start."""
    with pytest.raises(ValueError, match=r"model\.onnx is empty"):
        Registry(s3.environment).publish(_artifact(tmp_path / "empty", b""), "toy")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", "AWS_SECRET_ACCESS_KEY is not this store's"),
        ("AWS_ACCESS_KEY_ID", "wrong", "AWS_ACCESS_KEY_ID is not known to this store"),
        ("SERIN_S3_ENDPOINT", "http://127.0.0.1:1", "127.0.0.1:1: nothing answers there"),
    ],
)
def test_a_store_that_refuses_is_one_sentence(
    s3: S3Server, variable: str, value: str, message: str
) -> None:
    """Wrong keys and a wrong address each say which setting to look at."""
    store = Registry({**s3.environment, variable: value})

    with pytest.raises(StoreError, match=message):
        store.versions("toy")


def test_a_missing_bucket_says_so(s3: S3Server, artifact: Path) -> None:
    """Listing and publishing both say that the bucket has to be created."""
    (s3.folder / "models").rmdir()

    for ask in (lambda store: store.versions("toy"), lambda store: store.publish(artifact, "toy")):
        with pytest.raises(StoreError, match="create the bucket 'models'"):
            ask(Registry(s3.environment))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("SERIN_S3_ENDPOINT", "SERIN_S3_ENDPOINT is not set: "),
        ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must both be set"),
        ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must both be set"),
    ],
)
def test_a_missing_setting_is_named(missing: str, message: str) -> None:
    """Without it nothing is tried, least of all a cloud's metadata service."""
    environment = S3Server(Path(), port=9000).environment
    del environment[missing]

    with pytest.raises(SettingsError, match=message):
        Registry(environment)


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9000", "s3://models", "http://", "http://h/path"])
def test_an_endpoint_that_is_no_address_is_refused(endpoint: str) -> None:
    """The sentence shows what an endpoint looks like."""
    environment = {**S3Server(Path(), port=9000).environment, "SERIN_S3_ENDPOINT": endpoint}

    with pytest.raises(SettingsError, match="expected http://HOST:PORT"):
        Registry(environment)


@pytest.mark.parametrize("name", ["", "Iris", "a/b", "../iris", "iris_2", "-iris"])
def test_a_name_that_is_no_prefix_is_refused(name: str) -> None:
    """A name that could reach into another model's versions never becomes a key."""
    with pytest.raises(ValueError, match="kebab-case"):
        Registry(S3Server(Path(), port=9000).environment).versions(name)


def test_every_refusal_is_a_registry_error() -> None:
    """Callers catch one class."""
    assert issubclass(SettingsError, RegistryError)
    assert issubclass(StoreError, RegistryError)
