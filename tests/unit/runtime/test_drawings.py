"""Images of digits, however they were drawn, sent or broken."""

import base64
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps

from predictors.digits.images import BOX, SIDE, are_large, image_files, read_digit, read_images
from predictors.runtime import InvalidRequest


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The image as a file's bytes."""
    written = BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


WHOLE = [
    encoded(Image.linear_gradient("L").resize((32, 32)).convert(mode), kind)
    for mode, kind in (("L", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("L", "JPEG"), ("CMYK", "JPEG"))
]


@pytest.fixture
def drawing() -> Image.Image:
    """A seven, light on dark, off centre, taller than wide."""
    image = Image.new("L", (140, 200), 0)
    pen = ImageDraw.Draw(image)
    pen.line([(30, 20), (90, 20), (50, 120)], fill=255, width=12, joint="curve")
    return image


@pytest.fixture
def expected(drawing: Image.Image) -> np.ndarray:
    """What the plain PNG gives."""
    return read_digit(encoded(drawing))


def transparent(drawing: Image.Image, ink: int) -> Image.Image:
    strokes = Image.new("RGBA", drawing.size, (ink, ink, ink, 0))
    strokes.putalpha(drawing)
    return strokes


def test_a_digit_is_placed_as_mnist_places_it(expected: np.ndarray) -> None:
    """Its longer side is 20 pixels, its centre of mass in the middle of 28×28, values are 0..1."""
    rows, columns = np.nonzero(expected > 0.05)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    centre = np.array(
        [np.arange(SIDE) @ expected.sum(axis=axis) / expected.sum() for axis in (1, 0)]
    )

    assert expected.shape == (SIDE, SIDE)
    assert (expected.min(), expected.max()) == (0, 1)
    assert max(height, width) == BOX
    assert width == pytest.approx(BOX * 72 / 112, abs=1)
    assert np.abs(centre - (SIDE - 1) / 2).max() <= 0.5


@pytest.mark.parametrize(
    "presented",
    [
        pytest.param(ImageOps.invert, id="dark on light"),
        pytest.param(lambda image: image.convert("RGB"), id="colour"),
        pytest.param(lambda image: image.convert("P"), id="palette"),
        pytest.param(lambda image: transparent(image, 0), id="dark on transparent"),
        pytest.param(lambda image: transparent(image, 255), id="light on transparent"),
        pytest.param(lambda image: ImageOps.expand(image, (5, 90, 70, 8)), id="more margin"),
        pytest.param(lambda image: image.point(lambda v: 60 + v // 3), id="pale, on grey"),
        pytest.param(lambda image: image.resize((560, 800)), id="four times the size"),
        pytest.param(
            lambda image: Image.fromarray(np.asarray(image).astype(np.uint16) * 200 + 1000),
            id="16 bit",
        ),
    ],
)
def test_the_same_digit_is_the_same_however_it_is_presented(
    presented: Callable[[Image.Image], Image.Image], drawing: Image.Image, expected: np.ndarray
) -> None:
    """Background, colour, transparency, margin, contrast and size of the file change nothing."""
    got = read_digit(encoded(presented(drawing)))

    assert np.abs(got - expected).mean() < 0.01
    assert np.abs(got - expected).max() < 0.25  # antialiasing of another resolution


def test_a_photo_is_turned_as_its_camera_says(drawing: Image.Image, expected: np.ndarray) -> None:
    """EXIF orientation 6: the camera was held upright, the pixels lie on their side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = drawing.transpose(Image.Transpose.ROTATE_90)

    assert np.abs(read_digit(encoded(lying, exif=exif)) - expected).max() < 0.01


def test_a_large_photo_is_read_at_a_fraction(drawing: Image.Image, expected: np.ndarray) -> None:
    """Twelve megapixels of JPEG: the same digit, and never as many floats."""
    photo = encoded(ImageOps.invert(drawing).resize((2800, 4000)), "JPEG")
    tracemalloc.start()
    try:
        got = read_digit(photo)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert np.abs(got - expected).mean() < 0.01
    assert peak < 2**26


def test_a_digit_in_mnists_form_stays_as_it_is(expected: np.ndarray) -> None:
    """Preparing twice is preparing once, so MNIST's own files pass through."""
    again = read_digit(encoded(Image.fromarray((expected * 255).round().astype(np.uint8))))

    assert np.abs(again - expected).max() < 0.05


@pytest.mark.parametrize(
    "content",
    [
        Image.new("L", (1, 1), 9),
        Image.new("RGBA", (40, 40), (0, 0, 0, 0)),
        Image.new("L", (40, 40), 255),
    ],
    ids=["one pixel", "transparent", "white"],
)
def test_an_image_without_a_digit_is_refused(content: Image.Image) -> None:
    """An empty sheet is no digit."""
    with pytest.raises(ValueError, match="has no digit on it"):
        read_digit(encoded(content))


def test_base64_is_the_file_that_it_stands_for(drawing: Image.Image, expected: Any) -> None:
    """JSON cannot carry bytes; a browser's canvas gives a data URL."""
    text = base64.b64encode(encoded(drawing))

    for content in (text, b"data:image/png;base64," + text):
        assert (read_digit(content) == expected).all()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"seven", "begins with b'seven'"),
        (base64.b64encode(b"seven"), "is no PNG or JPEG"),
        (encoded(Image.new("L", (40, 40)), "GIF"), "is no PNG or JPEG"),
        (encoded(Image.effect_noise((40, 40), 50))[:-60], "is a damaged PNG of 40×40"),
        (encoded(Image.effect_noise((40, 40), 50), "JPEG")[:-60], "is a damaged JPEG of 40×40"),
        (encoded(Image.effect_noise((40, 40), 50))[:30], "is a damaged PNG"),
        (encoded(Image.new("1", (4097, 4096))), "is 4097×4096: at most 16777216 pixels"),
    ],
    ids=["empty", "text", "base64 of text", "gif", "cut png", "cut jpeg", "head only", "bomb"],
)
def test_what_is_no_image_is_refused_by_element(content: bytes, sentence: str) -> None:
    """The tensor and the element are named, and what is wrong with it."""
    good = encoded(Image.linear_gradient("L"))

    with pytest.raises(InvalidRequest, match=r"tensor 'image': element 1 ") as caught:
        read_images(np.array([good, content], object))
    assert sentence in str(caught.value)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """A PNG of 60 kilobytes that unpacks to 60 gigabytes costs its header; so does a lying one."""
    header = struct.pack(">IIBBBBB", 2**18, 2**18, 8, 6, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(2**26))), (b"IEND", b"")]
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="is 262144×262144: at most"):
            read_digit(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2**20


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_bytes_do_anything_but_answer_or_refuse(data: st.DataObject) -> None:
    """Files with bytes changed, cut or put in: a digit or one sentence, never another error."""
    content = bytearray(data.draw(st.sampled_from(WHOLE)))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        read = read_digit(bytes(content[: data.draw(st.integers(0, len(content)))]))
        assert read.shape == (SIDE, SIDE)
        assert np.isfinite(read).all()


def chunk(name: bytes, content: bytes, crc: int | None = None) -> bytes:
    """A PNG's chunk, its checksum right unless another is given."""
    checksum = zlib.crc32(name + content) if crc is None else crc
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def with_chunk(png: bytes, added: bytes) -> bytes:
    """The PNG with one chunk more, behind its head."""
    return png[:33] + added + png[33:]


@pytest.mark.parametrize(
    "spelled",
    [
        pytest.param(base64.encodebytes, id="wrapped"),
        pytest.param(lambda file: base64.b64encode(file) + b"\n", id="newline"),
        pytest.param(lambda file: base64.b64encode(file).rstrip(b"="), id="unpadded"),
        pytest.param(base64.urlsafe_b64encode, id="URL-safe"),
        pytest.param(
            lambda file: b"data:application/octet-stream;base64," + base64.b64encode(file),
            id="data URL",
        ),
    ],
)
def test_base64_is_taken_as_shells_and_encoders_write_it(
    spelled: Callable[[bytes], bytes], drawing: Image.Image, expected: np.ndarray
) -> None:
    """Line breaks, missing padding and the URL-safe alphabet give the same digit."""
    np.testing.assert_array_equal(read_digit(spelled(encoded(drawing))), expected)


@pytest.mark.parametrize(
    "added",
    [
        pytest.param(chunk(b"eXIf", b"no TIFF"), id="EXIF"),
        pytest.param(chunk(b"eXIf", b"II*\0\xff"), id="short EXIF"),
        pytest.param(chunk(b"tEXt", b"Comment\0seven", crc=1), id="checksum of a comment"),
        pytest.param(
            chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 24))), id="large comment"
        ),
        pytest.param(chunk(b"iCCP", b"profile\0\0rubbish"), id="profile"),
    ],
)
def test_damaged_metadata_does_not_refuse_a_good_png(
    added: bytes, drawing: Image.Image, expected: np.ndarray
) -> None:
    """What every viewer shows is read, whatever stands beside the picture."""
    np.testing.assert_array_equal(read_digit(with_chunk(encoded(drawing), added)), expected)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_sixteen_bit_files_may_hold_fewer_bits(
    bits: int, drawing: Image.Image, expected: np.ndarray
) -> None:
    """Scanners write 8, 10 or 12 bits into 16; contrast is measured on what they fill."""
    levels = np.asarray(drawing, np.float64) / 255 * (2**bits - 1)
    image = Image.fromarray(levels.astype(np.uint16))

    np.testing.assert_allclose(read_digit(encoded(image)), expected, atol=0.02)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([encoded(Image.new("1", (1, 1 << 15)))], "element 0 is 1×32768: at most"),
        ([encoded(Image.new("1", (4096, 4096)))] * 5, "elements 0 … 4 are more than 64 MiB"),
        ([encoded(Image.new("I;16", (4096, 4096)))] * 3, "elements 0 … 2 are more than 64 MiB"),
        ([encoded(Image.new("L", (40, 40)), "JPEG") + b"\xff\xda" * 65], "JPEG of 66 scans"),
        ([encoded(Image.new("L", (40, 40)))[:20]], "element 0 is a damaged PNG"),
    ],
    ids=["strip", "many", "deep", "scans", "cut in its head"],
)
def test_what_costs_too_much_is_refused_before_it_is_decoded(
    files: list[bytes], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes of all images of a request are read from their heads, and counted together."""

    def decoded(*_: object) -> None:
        raise AssertionError("an image was decoded")

    monkeypatch.setattr(Image.Image, "load", decoded)

    with pytest.raises(InvalidRequest, match=sentence):
        image_files(np.array(files, object))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_what_is_large_when_decoded_is_known_by_its_head(kind: str) -> None:
    """However small the file, and however many there are; a drawing is not."""
    large, small = (encoded(Image.new("L", (side, side)), kind) for side in (1_024, 100))

    assert are_large(np.array([large], object))
    assert are_large(np.array([small] * 30, object))
    assert not are_large(np.array([small], object))
