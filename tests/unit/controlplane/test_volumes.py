"""A container's variables and volumes as a kubelet would make them, in folders of this machine."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from controlplane.errors import ManifestError
from controlplane.local.node import environment, volumes

BINARY = bytes(range(256))
OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    ("Secret", "s"): {
        "data": {
            "keystore.p12": base64.b64encode(BINARY).decode(),
            "txt": base64.b64encode(b"hello").decode(),
        }
    },
    ("ConfigMap", "c"): {
        "data": {"a.txt": "A", "b.txt": "B"},
        "binaryData": {"img.png": base64.b64encode(BINARY).decode()},
    },
}


def pod(*sources: dict[str, Any]) -> dict[str, Any]:
    """A pod with these volumes, named by their place."""
    return {
        "metadata": {
            "name": "p",
            "namespace": "models",
            "labels": {"team": "ml", "app.kubernetes.io/name": "iris"},
            "annotations": {"note": "hi"},
        },
        "spec": {
            "nodeName": "laptop",
            "volumes": [{"name": f"v{i}", **source} for i, source in enumerate(sources)],
        },
    }


def find(kind: str, name: str) -> dict[str, Any] | None:
    return OBJECTS.get((kind, name))


def mounted(own: Path, source: dict[str, Any], **mount: Any) -> Path:
    """Where /data is of a container that mounts one volume there."""
    container = {"volumeMounts": [{"name": "v0", "mountPath": "/data", **mount}]}
    claims = own / "claims"
    return volumes.mounted(container, pod(source), own / "p", claims, find, {"X": "sub"})["/data"]


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"configMap": {"name": "c"}}, {"a.txt": b"A", "b.txt": b"B", "img.png": BINARY}),
        ({"secret": {"secretName": "s"}}, {"keystore.p12": BINARY, "txt": b"hello"}),
        (
            {"secret": {"secretName": "s", "items": [{"key": "txt", "path": "dir/renamed.txt"}]}},
            {"dir/renamed.txt": b"hello"},
        ),
        ({"configMap": {"name": "nope", "optional": True}}, {}),
        ({"configMap": {"name": "c", "optional": True, "items": [{"key": "k", "path": "k"}]}}, {}),
        (
            {
                "downwardAPI": {
                    "items": [
                        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                        {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
                    ]
                }
            },
            {"labels": b'app.kubernetes.io/name="iris"\nteam="ml"', "name": b"p"},
        ),
        (
            {
                "projected": {
                    "sources": [
                        {"secret": {"name": "s", "items": [{"key": "txt", "path": "t"}]}},
                        {"configMap": {"name": "c", "items": [{"key": "a.txt", "path": "a"}]}},
                    ]
                }
            },
            {"t": b"hello", "a": b"A"},
        ),
        ({"emptyDir": {}}, {}),
    ],
)
def test_a_volume_holds_what_a_clusters_does(
    tmp_path: Path, source: dict[str, Any], expected: dict[str, bytes]
) -> None:
    """Binary keys, items under their own paths, optional sources, the pod's own fields."""
    assert files(mounted(tmp_path, source)) == expected
    assert files(mounted(tmp_path, source)) == expected  # a second container mounts it, too


def test_files_have_the_modes_that_the_manifest_says(tmp_path: Path) -> None:
    """An item's mode wins over the volume's."""
    items = [{"key": "a.txt", "path": "a"}, {"key": "b.txt", "path": "b", "mode": 0o500}]
    source = {"configMap": {"name": "c", "defaultMode": 0o400, "items": items}}

    folder = mounted(tmp_path, source)

    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "a": 0o400,
        "b": 0o500,
    }


def test_a_part_of_a_volume_is_mounted(tmp_path: Path) -> None:
    """SubPath names a file or a folder; a subPathExpr is filled in from the variables."""
    source = {"configMap": {"name": "c"}}
    assert mounted(tmp_path, source, subPath="a.txt").read_text() == "A"
    assert mounted(tmp_path, {"emptyDir": {}}, subPathExpr="$(X)/y").parts[-2:] == ("sub", "y")


@pytest.mark.parametrize(
    ("source", "mount"),
    [
        ({"configMap": {"name": "c", "items": [{"key": "a.txt", "path": "../../x"}]}}, {}),
        ({"configMap": {"name": "c", "items": [{"key": "a.txt", "path": "/x"}]}}, {}),
        ({"persistentVolumeClaim": {"claimName": "../../x"}}, {}),
        ({"emptyDir": {}}, {"subPath": "../../../x"}),
        ({"emptyDir": {}}, {"subPath": "/etc"}),
        ({"emptyDir": {}}, {"mountPath": "/"}),
        ({"hostPath": {"path": "/etc"}}, {}),
        ({"configMap": {"name": "c", "items": [{"key": "no", "path": "x"}]}}, {}),
        ({"secret": {"secretName": "no"}}, {}),
    ],
)
def test_no_volume_leaves_its_folder(
    tmp_path: Path, source: dict[str, Any], mount: dict[str, Any]
) -> None:
    """Objects of an earlier version, which no rule has seen, are held to it as well."""
    with pytest.raises(ManifestError):
        mounted(tmp_path, source, **mount)
    assert not (tmp_path.parent / "x").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data", "HERE"),
        ("/data/x", "HERE/x"),
        ("--out=/data/out", "--out=HERE/out"),
        ("ls /data && cat '/data/a b' >/data/c", "ls HERE && cat 'HERE/a b' >HERE/c"),
        ("a:/data:/data/b", "a:HERE:HERE/b"),
        ("/data2 /mydata x/data http://host/data /data-x /data.txt", None),
        ("/data/sub/x", "SUB/x"),
    ],
)
def test_paths_below_a_mount_stand_for_its_folder(text: str, expected: str | None) -> None:
    """In flags, scripts and lists of paths; what only looks like one stays."""
    found = volumes.moved(text, {"/data": Path("HERE"), "/data/sub": Path("SUB")})
    assert found == (text if expected is None else expected)


def test_variables_are_a_clusters() -> None:
    """The downward API, bounds, binary values; $(NAME) and $$ as ever."""
    fields = {
        "A": "metadata.name",
        "B": "metadata.labels['team']",
        "C": "metadata.labels['app.kubernetes.io/name']",
        "D": "metadata.annotations['note']",
        "E": "metadata.namespace",
        "F": "status.podIP",
        "G": "spec.nodeName",
        "H": "spec.serviceAccountName",
        "I": "metadata.labels['none']",
    }
    container = {
        "resources": {"limits": {"cpu": "1500m", "memory": "2Gi"}},
        "envFrom": [{"prefix": "S_", "secretRef": {"name": "s"}}],
        "env": [
            *(
                {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
                for name, path in fields.items()
            ),
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {
                "name": "MEMORY",
                "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
            },
            {"name": "REQUEST", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu"}}},
            {"name": "TEXT", "value": "$(A) $$(A) $(NONE)"},
        ],
    }

    found = environment.variables(container, pod(), find)

    assert [found[name] for name in fields] == [
        *("p", "ml", "iris", "hi", "models", "127.0.0.1", "laptop", "default", "")
    ]
    assert (found["CPU"], found["MEMORY"], found["REQUEST"]) == ("2", "2048", "0")
    assert found["TEXT"] == "p $(A) $(NONE)"
    assert os.fsencode(found["S_keystore.p12"]) == BINARY
