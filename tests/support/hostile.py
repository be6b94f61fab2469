"""Objects that mean harm: valid ones with parts replaced, and values by the schemas, badly made."""

import copy
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from controlplane.kubernetes.kinds import KINDS, by_name
from controlplane.local.api.schemas import schema_of
from controlplane.statefolder import ROOT

Object = dict[str, Any]
WORDS = (
    *(
        "",
        " ",
        "a",
        "iris",
        "iris-predictor",
        "models",
        "a" * 64,
        "a" * 300,
        "-",
        "A=B",
        "=",
        "é😀",
    ),
    *("../../x", "/etc/passwd", "/", "..", "a/../../b", "\0", "a\0b", "\n", "x\ny: z", "{{.Name}}"),
    *(
        "{{ .Labels.none }}",
        "$(A)",
        "$$(",
        "s3://models/x",
        "s3://models/iris/1",
        "s3://",
        "http://[",
    ),
    *(
        "-1",
        "0",
        "1e400",
        "NaN",
        "1s",
        "-1s",
        "99999999999999s",
        "0 0 31 2 *",
        "* * * * * *",
        "100%",
    ),
    *(
        "1970-01-01T00:00:00Z",
        "2026-01-01",
        "True",
        "null",
        "[" * 50,
        "(a+)+$",
        "aaaaaaaaaaaaaaaaaaaaa!",
    ),
    *(
        "RollingUpdate",
        "Never",
        "OnFailure",
        "cpu",
        "prometheus",
        "cron",
        "Host",
        ":authority",
        "a b",
    ),
)
NUMBERS = (
    *(-1, 0, 1, 2, 3, 50, 100, 101, 255, 65536, -(2**31), 2**31 - 1, 2**31, 2**53, 2**63 - 1),
    *(-(2**63), 0.5, -0.0, 1e308, 1e-308),
)
SKIPPED = {"Namespace"}
"""Deleting the namespace of all others is no fault of one object."""


def valid() -> dict[str, list[Object]]:
    """Manifests of this repository and a few more, by kind."""
    found: dict[str, list[Object]] = {}
    for path in [*(ROOT / "kserve").rglob("*.yaml"), *(ROOT / "keda").glob("*.yaml"), *_jobs()]:
        for document in yaml.safe_load_all(path.read_text("utf-8")):
            kind = by_name(document.get("kind", "")) if isinstance(document, dict) else None
            if kind and document.get("metadata", {}).get("name"):
                found.setdefault(kind.name, []).append(document)
    command = {"name": "main", "image": "i", "command": ["sh", "-c", "true"]}
    pod = {"restartPolicy": "Never", "containers": [command]}
    more: list[tuple[str, Object]] = [
        ("Job", {"spec": {"backoffLimit": 0, "template": {"metadata": {}, "spec": pod}}}),
        ("Secret", {"data": {"a": "AAEC/w=="}}),
        ("ConfigMap", {"data": {"a": "b"}, "binaryData": {"c": "AAEC/w=="}}),
        ("Lease", {"spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}}),
        ("Event", {"involvedObject": {"kind": "Pod", "name": "x"}, "reason": "R", "message": "m"}),
        ("ServiceAccount", {}),
    ]
    for name, content in more:
        kind = by_name(name)
        assert kind
        head = {"apiVersion": kind.api_version, "kind": name, "metadata": {"name": "x"}}
        found.setdefault(name, []).append({**head, **content})
    return found


def _jobs() -> list[Path]:
    return sorted((ROOT / "training" / "jobs").rglob("job.yaml"))


def broken(chance: random.Random, known: dict[str, list[Object]], name: str) -> Object:
    """A hostile object of a name: a valid one with a few parts replaced, or one by its schema."""
    stored = [kind for kind in KINDS if "watch" in kind.verbs]  # others are made when asked for
    kinds = [kind for kind in stored if kind.name not in SKIPPED]
    kind = chance.choice(kinds)
    base = known.get(kind.name)
    if base and chance.random() < 0.8:
        made = copy.deepcopy(chance.choice(base))
        for _ in range(chance.randint(1, 4)):
            _mutate(chance, made, schema_of(kind))
    else:
        made = by_schema(chance, schema_of(kind), 0)
        made = made if isinstance(made, dict) else {}
    made |= {"apiVersion": kind.api_version, "kind": kind.name}
    metadata = made.get("metadata")
    made["metadata"] = metadata = metadata if isinstance(metadata, dict) else {}
    metadata["name"] = name
    if kind.namespaced:
        metadata["namespace"] = "models"
    return made


def by_schema(chance: random.Random, schema: Any, depth: int) -> Any:
    """A value of a schema's type, or now and then of another."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    if chance.random() < 0.05:
        kind = chance.choice(["string", "integer", "object", "array", "boolean", None])
    if kind == "object" or (kind is None and isinstance(schema, dict) and "properties" in schema):
        return _mapping(chance, schema, depth)
    if kind == "array":
        items = schema.get("items", {})
        return [by_schema(chance, items, depth + 1) for _ in range(chance.choice((0, 1, 1, 2)))]
    if kind in {"integer", "number"}:
        return chance.choice(NUMBERS)
    if kind == "boolean":
        return chance.random() < 0.5
    if isinstance(schema, dict) and schema.get("enum"):
        return chance.choice([*schema["enum"], chance.choice(WORDS)])
    return chance.choice([*WORDS, chance.choice(NUMBERS), None] if kind is None else WORDS)


def _mapping(chance: random.Random, schema: Any, depth: int) -> Object:
    properties = schema.get("properties") or {}
    names = list(schema.get("required") or ())
    if properties and depth < 7:
        names += chance.sample(sorted(properties), min(len(properties), chance.randint(0, 4)))
    found = {name: by_schema(chance, properties.get(name, {}), depth + 1) for name in names}
    others = schema.get("additionalProperties")
    if isinstance(others, dict) and depth < 7:
        for _ in range(chance.randint(0, 2)):
            found[chance.choice(WORDS)] = by_schema(chance, others, depth + 1)
    return found


def _mutate(chance: random.Random, value: Object, schema: Any) -> None:
    """Replace, remove or add one part, somewhere."""
    here: Any = value
    while True:
        properties = schema.get("properties") or {} if isinstance(schema, dict) else {}
        if isinstance(here, dict):
            keys: Sequence[Any] = sorted({*map(str, here), *properties})
            keys = [key for key in keys if key not in {"apiVersion", "kind"}]
        else:
            keys = range(len(here))
        if not keys:
            return
        key = chance.choice(keys)
        inner = properties.get(key) or _items(schema)
        old = here.get(key) if isinstance(here, dict) else here[key]
        if isinstance(old, dict | list) and old and chance.random() < 0.8:
            here, schema = old, inner
            continue
        if isinstance(here, dict) and key in here and chance.random() < 0.15:
            del here[key]
        else:
            here[key] = by_schema(chance, inner, 4)
        return


def _items(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return {}
    found = schema.get("items") or schema.get("additionalProperties")
    return found if isinstance(found, dict) else {}
