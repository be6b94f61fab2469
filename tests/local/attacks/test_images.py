"""Images that cost more than they weigh.

An honest client asks every 20 ms from a process of its own, all through each attack. Figures are
printed; the bounds are far above what a quiet machine shows, and far below what was met before:
waits of 1 to 10 s, 200 to 700 MiB, broken streams.
"""

import struct
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from io import BytesIO

import pytest
from PIL import Image

from predictors.runtime.lean_kserve import pb
from tests.support import trained
from tests.support.attack import HELD_BYTES, called, say, watched
from tests.support.honest import honest
from tests.support.predictor import Predictor, running

pytestmark = pytest.mark.calm


def png(width: int, height: int, mode: str = "1") -> bytes:
    out = BytesIO()
    Image.new(mode, (width, height)).save(out, "PNG", optimize=False)
    return out.getvalue()


def drawn(side: int) -> bytes:
    """An image with something on it: it is decoded to its end."""
    out = BytesIO()
    Image.linear_gradient("L").resize((side, side)).save(out, "PNG")
    return out.getvalue()


def deep_png(side: int) -> bytes:
    """RGBA of 16 bits, which Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    size = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
    packer = zlib.compressobj(9)
    line = b"\0" + bytes(side * 8)
    content = b"".join(packer.compress(line) for _ in range(side)) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    )


def scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    out = BytesIO()
    Image.new("L", (2_048, 2_048), 128).save(out, "JPEG", progressive=True)
    jpeg = out.getvalue()
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * count + jpeg[-2:]


IMAGES: dict[str, Callable[[], list[bytes]]] = {
    "a strip": lambda: [png(1, 16_777_216)],
    "100 of 4096×4096": lambda: [png(4_096, 4_096)] * 100,
    "12 of 16 bits RGBA": lambda: [deep_png(4_096)] * 12,
    "one of 16 bits RGBA": lambda: [deep_png(4_096)],
    "1,000 scans": lambda: [scans(1_000)],
    "60 scans, 20 times": lambda: [scans(50)] * 20,
    "strips of 16,384": lambda: [png(16_384, 1_024), png(1_024, 16_384)],
    "4 of 4096×4096 that are taken": lambda: [drawn(4_096)] * 4,
    "3,000 small": lambda: [png(150, 150)] * 3_000,
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """A predictor of images."""
    limit = {"PREDICTOR_MAX_HELD_BYTES": str(HELD_BYTES)}
    log = tmp_path_factory.mktemp("digits") / "log"
    with running("mnist-cnn", trained.artifact("mnist-cnn", "--smoke"), log, **limit) as predictor:
        yield predictor


@pytest.mark.parametrize("what", IMAGES)
def test_images_that_cost_more_than_they_weigh(digits: Predictor, what: str) -> None:
    """S7: refused by their heads, or decoded while others are answered."""
    files = IMAGES[what]()
    request = pb.ModelInferRequest(model_name="mnist-cnn")
    request.inputs.add(
        name="image", datatype="BYTES", shape=[len(files)], contents={"bytes_contents": files}
    )
    message = request.SerializeToString()
    small = b64encode(drawn(28)).decode()  # waits in the same queue
    document = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [small]}]}
    with (
        honest(digits.http_port, digits.infer_path, document) as client,
        watched(digits.process.pid, client, f"{what}, {len(message)} bytes"),
    ):
        codes = called(digits, message, 8)
    say(codes)
