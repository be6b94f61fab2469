from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from scripts.client.digits import BOX, SIDE, read_digit
from scripts.client.errors import UsageError


@pytest.fixture
def drawing() -> Image.Image:
    """A seven, light on dark, off centre, taller than wide."""
    image = Image.new("L", (140, 200), 0)
    pen = ImageDraw.Draw(image)
    pen.line([(30, 20), (90, 20), (50, 120)], fill=255, width=12, joint="curve")
    return image


@pytest.fixture
def expected(drawing: Image.Image, tmp_path: Path) -> np.ndarray:
    return read(drawing, tmp_path)


def read(image: Image.Image, folder: Path) -> np.ndarray:
    path = folder / "digit.png"
    image.save(path)
    return read_digit(path)


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
    presented, drawing: Image.Image, expected: np.ndarray, tmp_path: Path
) -> None:
    """Background, colour, transparency, margin, contrast and size of the file change nothing."""
    got = read(presented(drawing), tmp_path)

    assert np.abs(got - expected).mean() < 0.01
    assert np.abs(got - expected).max() < 0.25  # antialiasing of another resolution


def test_a_photo_is_turned_as_its_camera_says(
    drawing: Image.Image, expected: np.ndarray, tmp_path: Path
) -> None:
    """EXIF orientation 6: the camera was held upright, the pixels lie on their side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "photo.png"
    drawing.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)

    assert np.abs(read_digit(path) - expected).max() < 0.01


def test_a_digit_in_mnists_form_stays_as_it_is(expected: np.ndarray, tmp_path: Path) -> None:
    """Preparing twice is preparing once, so MNIST's own files pass through."""
    again = read(Image.fromarray((expected * 255).round().astype(np.uint8)), tmp_path)

    assert np.abs(again - expected).max() < 0.05


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (Image.new("L", (27, 40), 9), r"is 27×40: at least 28×28"),
        (Image.new("RGBA", (40, 40), (0, 0, 0, 0)), "no digit on it"),
        (Image.new("L", (40, 40), 255), "no digit on it"),
    ],
    ids=["too small", "transparent", "white"],
)
def test_an_image_without_a_digit_is_refused(
    content: Image.Image, sentence: str, tmp_path: Path
) -> None:
    """Too small and empty images are a usage error that says so."""
    with pytest.raises(UsageError, match=sentence):
        read(content, tmp_path)


def test_a_file_that_is_no_image_is_refused(drawing: Image.Image, tmp_path: Path) -> None:
    """Text, a cut PNG, a folder and a missing file are one sentence each."""
    text = tmp_path / "notes.txt"
    text.write_text("seven")
    whole, cut = tmp_path / "whole.png", tmp_path / "cut.png"
    drawing.save(whole)
    cut.write_bytes(whole.read_bytes()[:-60])

    for path, sentence in [
        (text, "is not an image"),
        (cut, "is not an image"),
        (tmp_path, "is not an image"),
        (tmp_path / "none.png", "no such file"),
    ]:
        with pytest.raises(UsageError, match=sentence):
            read_digit(path)
