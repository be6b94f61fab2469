"""Generated inputs of every kind that a stranger may send: each is taken, or refused as theirs.

A few hundred a kind always; as many as you like by

    SOAK_INPUTS=1000000 ./serin test tests/unit/test_soak.py

Input n of a kind is the same every time. A failure says which it was.
"""

import asyncio
import copy
import json
import os
import random
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from PIL import Image

from controlplane.kubernetes.kinds import by_name
from controlplane.kubernetes.meta import key_of
from controlplane.kubernetes.refusals import Refusal
from controlplane.local.api.objects import Objects
from controlplane.local.api.resources import Resources, Write
from controlplane.local.controllers import inference
from controlplane.local.controllers.plan import plan
from predictors.digits.images import read_images
from predictors.runtime.http2.frames import ConnectionFault, StreamFault
from predictors.runtime.http2.header_blocks import HeaderReader, HeadReader, block_of
from predictors.runtime.lean_kserve import pb
from predictors.runtime.v2.body.decode import decode
from predictors.runtime.v2.errors import V2Error
from predictors.runtime.v2.protobuf import decode_grpc, parse_grpc
from predictors.runtime.v2.signature import Signature
from predictors.runtime.v2.spec import TensorSpec
from tests.support.documents import ROOT
from tests.support.manifests import canary, service

INPUTS = int(os.environ.get("SOAK_INPUTS", "300"))
WARM = 300
"""Inputs before memory is measured: caches and imports are there by then."""
GROWTH_BYTES = 64 << 20
SIGNATURE = Signature.of(
    (
        TensorSpec("x", "FP32", (-1, 4)),
        TensorSpec("n", "INT64", (-1,), optional=True),
        TensorSpec("s", "BYTES", (-1,), optional=True),
        TensorSpec("b", "BOOL", (-1, 2), optional=True),
    ),
    (TensorSpec("y", "FP32", (-1, 3)),),
)
WORDS = ("", "x", "FP32", "BYTES", "NaN", "größe", "\u0000", "../..", "a" * 300, "0", "true", "1e9")
NUMBERS = (0, -1, 1, 2, 4, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, -(2**70), 1.5, 1e308, -0.0)


def value(rng: random.Random, depth: int = 0) -> Any:
    """Any JSON value, small."""
    match rng.randrange(8 if depth < 3 else 5):
        case 0 | 1:
            return rng.choice(WORDS)
        case 2 | 3:
            return rng.choice(NUMBERS)
        case 4:
            return rng.choice((None, True, False))
        case 5 | 6:
            return [value(rng, depth + 1) for _ in range(rng.randrange(5))]
        case _:
            return {rng.choice(WORDS): value(rng, depth + 1) for _ in range(rng.randrange(4))}


def changed(rng: random.Random, tree: Any) -> Any:
    """A tree with up to four of its parts replaced, removed or doubled."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.randrange(5)):
        at = tree
        while True:
            if not isinstance(at, dict | list) or not at:
                break
            key = rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
            if rng.random() < 0.6 and isinstance(at[key], dict | list) and at[key]:
                at = at[key]
                continue
            match rng.randrange(4):
                case 0:
                    del at[key]
                case 1 if isinstance(at, list):
                    at += [at[key]] * rng.randrange(4)
                case 1 if isinstance(at, dict):
                    at[rng.choice(WORDS)] = at[key]
                case _:
                    at[key] = value(rng)
            break
    return tree


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Bytes with some of them flipped, cut off, doubled or put in."""
    spoilt = bytearray(data)
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(spoilt) + 1)
        match rng.randrange(5):
            case 0 if spoilt:
                spoilt[at % len(spoilt)] ^= 1 << rng.randrange(8)
            case 1:
                del spoilt[at:]
            case 2:
                spoilt[at:at] = rng.randbytes(rng.randrange(8))
            case 3:
                spoilt[at:at] = spoilt[at : at + rng.randrange(40)]
            case _:
                del spoilt[at : at + rng.randrange(8)]
    return bytes(spoilt)


def request(rng: random.Random) -> dict[str, Any]:
    """A valid V2 request."""
    rows = rng.randrange(3)
    tensors = [
        {"name": "x", "datatype": "FP32", "shape": [rows, 4], "data": [0.5] * 4 * rows},
        {"name": "n", "datatype": "INT64", "shape": [rows], "data": [7] * rows},
        {"name": "s", "datatype": "BYTES", "shape": [rows], "data": ["é"] * rows},
        {"name": "b", "datatype": "BOOL", "shape": [rows, 2], "data": [[True, False]] * rows},
    ]
    return {
        "id": "soak",
        "inputs": [tensors[0], *rng.sample(tensors[1:], rng.randrange(4))],
        "outputs": [{"name": "y", "parameters": {"binary_data": rng.random() < 0.5}}],
        "parameters": {"timeout": 1000},
    }


def as_json(rng: random.Random) -> None:
    """A V2 request as JSON."""
    body = json.dumps(changed(rng, request(rng)), ensure_ascii=rng.random() < 0.5).encode()
    decode(damaged(rng, body) if rng.random() < 0.5 else body, None, SIGNATURE)


def as_binary(rng: random.Random) -> None:
    """A V2 request whose tensors follow a JSON head of the length that a header says."""
    tree, tail = request(rng), b""
    for tensor in tree["inputs"]:
        rows = tensor["shape"][0]
        sizes = {"FP32": 16, "INT64": 8, "BYTES": 5, "BOOL": 2}
        raw = (
            b"\x01\0\0\0x" * rows
            if tensor["datatype"] == "BYTES"
            else bytes(sizes[tensor["datatype"]] * rows)
        )
        del tensor["data"]
        tensor["parameters"] = {"binary_data_size": len(raw)}
        tail += raw
    head = json.dumps(changed(rng, tree) if rng.random() < 0.7 else tree).encode()
    length = len(head) if rng.random() < 0.8 else rng.choice((0, 1, len(head) + 3, 2**40))
    body = head + tail
    decode(damaged(rng, body) if rng.random() < 0.5 else body, length, SIGNATURE)


def as_protobuf(rng: random.Random) -> None:
    """A ModelInferRequest."""
    rows = rng.randrange(3)
    message = pb.ModelInferRequest(model_name=rng.choice(WORDS), id=rng.choice(WORDS))
    contents = {"fp32_contents": [0.5] * 4 * rows}
    shape = rng.choice(([rows, 4], [rows], [-1, 4], [2**62, 4], []))
    raw = rng.random() < 0.5
    message.inputs.add(
        name="x",
        datatype=rng.choice(("FP32", "FP32", "BYTES", "?")),
        shape=shape,
        contents=None if raw else contents,
    )
    if raw:
        message.raw_input_contents.append(np.zeros(4 * rows, np.float32).tobytes())
    if rng.random() < 0.3:
        message.parameters["timeout"].int64_param = rng.choice((0, -1, 10))
    if rng.random() < 0.3:
        message.outputs.add(name=rng.choice(("y", "z")))
    data = message.SerializeToString()
    data = damaged(rng, data) if rng.random() < 0.7 else data
    decode_grpc(parse_grpc(data, SIGNATURE), SIGNATURE)


class HeaderBlocks:
    """Header blocks of connections, each of several, until one is damaged."""

    def __init__(self) -> None:
        self._readers = (HeaderReader(16_384), HeadReader(16_384, list))

    def __call__(self, rng: random.Random) -> None:
        """Read one."""
        names = (b":path", b"te", b"content-type", b"x-%d" % rng.randrange(9), b"")
        fields = [
            (rng.choice(names), rng.randbytes(rng.choice((0, 3, 200))))
            for _ in range(rng.randrange(6))
        ]
        block = block_of(fields)
        if rng.random() < 0.5:
            block = b"\x40" + block[1:]
        block = damaged(rng, block) if rng.random() < 0.7 else block
        answers: list[Any] = []
        for reader in self._readers:
            try:
                answers.append(list(reader.read(block)))
            except StreamFault:
                answers.append(None)
            except ConnectionFault:
                self.__init__()  # type: ignore[misc]  # the next connection's
                raise
        assert answers[0] == answers[1]


def _drawn(mode: str, kind: str) -> bytes:
    written = BytesIO()
    Image.linear_gradient("L").resize((32, 32)).convert(mode).save(written, kind)
    return written.getvalue()


FILES = [_drawn(mode, kind) for mode, kind in (("L", "PNG"), ("RGBA", "PNG"), ("L", "JPEG"))]


def as_image(rng: random.Random) -> None:
    """The file of an image."""
    files = np.empty(1, object)
    files[0] = damaged(rng, rng.choice(FILES))
    read_images(files)


def _of(path: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all((ROOT / path).read_text("utf-8")) if one]


class Manifests:
    """Objects sent to the laptop's API, and what its controllers make of those that it takes."""

    def __init__(self) -> None:
        self._whole = [
            service(),
            service(canary=[canary(10, "b2")]),
            *_of("training/jobs/iris/job.yaml"),
            *_of("keda/iris.yaml"),
            *_of("kserve/runtimes/iris.yaml"),
            *_of("kserve/components/api-keys/securitypolicy.yaml"),
            *_of("kserve/components/rate-limits/backendtrafficpolicy.yaml"),
        ]
        self._objects = Objects()
        for name in ("default", "models"):
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            self._objects.create(namespace)
        self._resources = Resources(self._objects, self._resolve, lambda _: None)

    async def _resolve(self, _uri: str, _kept: str) -> None:
        return None

    def __call__(self, rng: random.Random) -> None:
        """Create one, plan it and take it away."""
        whole = rng.choice(self._whole)
        kind = by_name(whole["kind"])
        assert kind is not None
        one = changed(rng, whole)
        how = Write(validation=rng.choice(("Strict", "Warn", "Ignore")))
        made, _ = asyncio.run(self._resources.create(kind, "models", one, how))
        self._objects.delete(*key_of(made))
        if kind.name == "InferenceService" and made["metadata"]["name"] == "iris":
            plan((), inference.routes(made, {}))


KINDS: dict[str, Callable[[], Callable[[random.Random], None]]] = {
    "json": lambda: as_json,
    "binary": lambda: as_binary,
    "protobuf": lambda: as_protobuf,
    "hpack": HeaderBlocks,
    "images": lambda: as_image,
    "manifests": Manifests,
}


@pytest.mark.timeout(max(300, INPUTS // 50))
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_generated_is_taken_or_refused(kind: str) -> None:
    """Never a fault of ours, whatever comes, and nothing of it stays in memory."""
    read, taken, resident = KINDS[kind](), 0, 0
    for number in range(INPUTS):
        if number == WARM:
            resident = psutil.Process().memory_info().rss
        try:
            read(random.Random(f"{kind} {number}"))
            taken += 1
        except (StreamFault, ConnectionFault):
            pass
        except (V2Error, Refusal) as error:
            status = error.status if isinstance(error, V2Error) else error.code
            if status not in range(400, 500):
                pytest.fail(f"{kind} {number}: {status} {error}")
        except Exception as error:  # noqa: BLE001  whatever it is, it is ours
            pytest.fail(f"{kind} {number}: {error!r}")
    assert 0 < taken < INPUTS
    if INPUTS > WARM:
        assert psutil.Process().memory_info().rss - resident < GROWTH_BYTES
