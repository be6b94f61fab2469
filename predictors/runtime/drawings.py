"""A handwritten digit in a PNG or JPEG, as MNIST would have drawn it: 28×28, light on dark.

A model trained on MNIST knows digits that were cropped, scaled into a 20×20 box and placed by their
centre of mass in 28×28 (LeCun et al., doi:10.1109/5.726791, section III A). A photo or a drawing
that is only scaled is another task to it; so every image goes through the same steps here,
whoever sends it. Only predictors that take images import this, and Pillow with it.
"""

import base64
import binascii
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from predictors.runtime.datatypes import Array
from predictors.runtime.errors import InvalidRequest
from predictors.runtime.spec import TensorSpec

SIDE = 28  # pixels
BOX = 20  # pixels, the digit's longer side
INK = 0.2  # of the strongest ink; below it a pixel is paper, for finding the digit's edges
CONTRAST = 16 / 255  # between paper and ink; less is an empty sheet
FORMATS = ("PNG", "JPEG")
MAX_PIXELS = 1 << 24  # 4096×4096; decoded, the largest image takes 64 MB
WORKED_SIDE = 1024  # pixels; what is larger is shrunk first, so that floats stay few
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff")
_SHOWN = 24  # bytes of what is no image

IMAGE = TensorSpec(
    "image", "BYTES", (-1,), optional=True, parameters={"content_type": "image/png, image/jpeg"}
)
"""The input: each element one file, or its base64 text where JSON cannot carry the bytes."""

# Pillow's own guard warns where it should refuse; `_opened` looks at the size before decoding.
Image.MAX_IMAGE_PIXELS = None

Pixels = npt.NDArray[np.floating[Any]]


def read_images(images: Array) -> Array:
    """Every image as the model wants it.

    Args:
        images: (batch,) of bytes: PNG or JPEG files of any size and polarity, or their base64.

    Returns:
        (batch, 28, 28) float32, 0 paper … 1 ink.

    Raises:
        InvalidRequest: naming the element that is no image, is damaged, too large or empty.
    """
    pixels = np.empty((len(images), SIDE, SIDE), np.float32)
    for index, content in enumerate(images.tolist()):
        try:
            pixels[index] = read_digit(content)
        except ValueError as error:
            raise InvalidRequest(f"tensor 'image': element {index} {error}") from error
    return pixels


def read_digit(content: bytes) -> Pixels:
    """One digit, ready for a tensor: (28, 28) float32, 0 paper … 1 ink.

    Raises:
        ValueError: not an image, damaged, too large, or nothing drawn on it; as the end of a
            sentence that begins with what it is.
    """
    return _centred(_cropped(_ink(_brightness(_opened(_plain(content))))))


def _plain(content: bytes) -> bytes:
    """The file itself, where its base64 came, with or without a data URL's head."""
    if content.startswith(_MAGIC):
        return content
    text = content.partition(b",")[2] if content.startswith(b"data:image/") else content
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return content


def _opened(content: bytes) -> Image.Image:
    """The image, decoded, upright, and no larger than is worked with."""
    try:
        image: Image.Image = Image.open(BytesIO(content), formats=FORMATS)
    except Exception as error:  # Pillow's parsers raise what they stumble over
        start = f"begins with {content[:_SHOWN]!r}" if content else "is empty"
        raise ValueError(f"is no PNG or JPEG, nor base64 of one: it {start}") from error
    size = f"{image.width}×{image.height}"
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"is {size}: at most {MAX_PIXELS} pixels are taken; scale it down")
    try:
        image.draft("L", (WORKED_SIDE, WORKED_SIDE))  # a large JPEG is decoded at a fraction
        image.load()
        image = ImageOps.exif_transpose(image)
    except Exception as error:  # as above
        raise ValueError(f"is a damaged {image.format} of {size}: {error}") from error
    return image


def _brightness(image: Image.Image) -> Pixels:
    """(height, width), 0 black … 1 white; what is transparent becomes paper."""
    if image.mode.startswith("I"):  # 16 bits of grey
        return np.asarray(_shrunk(image.convert("F")), np.float32) / 65535
    if not image.has_transparency_data:
        return np.asarray(_shrunk(image.convert("L")), np.float32) / 255
    bands = _shrunk(image.convert("LA")).split()
    grey, alpha = (np.asarray(band, np.float32) / 255 for band in bands)
    drawn = float((grey * alpha).sum() / max(alpha.sum(), 1e-6))
    paper = 0.0 if drawn > 0.5 else 1.0  # light strokes were drawn on dark, dark ones on light
    return grey * alpha + paper * (1 - alpha)


def _shrunk(image: Image.Image) -> Image.Image:
    times = max(image.size) // WORKED_SIDE
    return image.reduce(times) if times > 1 else image


def _ink(brightness: Pixels) -> Pixels:
    """(height, width), 0 paper … 1 the strongest ink, whichever of the two is the lighter one."""
    edges = (brightness[0], brightness[-1], brightness[:, 0], brightness[:, -1])
    paper = np.median(np.concatenate(edges))  # digits rarely touch most of the border
    away = (brightness - paper) * (1 if paper < 0.5 else -1)
    ink: Pixels = np.clip(away, 0, None)
    if ink.max() < CONTRAST:
        raise ValueError("has no digit on it: all of it is alike")
    strongest: Pixels = ink / ink.max()
    return strongest


def _cropped(ink: Pixels) -> Pixels:
    """The digit alone, its longer side BOX pixels, aspect kept, antialiased."""
    rows, columns = (np.flatnonzero((ink > INK).any(axis=axis)) for axis in (1, 0))
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = digit.shape
    scale = BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Pillow widens the filter when it shrinks, which is the antialiasing.
    small = np.asarray(Image.fromarray(digit).resize(size, Image.Resampling.BILINEAR))
    scaled: Pixels = np.clip(small / small.max(), 0, 1)
    return scaled


def _centred(digit: Pixels) -> Pixels:
    """(28, 28) with the digit's centre of mass in the middle, as far as it fits."""
    canvas: Pixels = np.zeros((SIDE, SIDE), np.float32)
    place = []
    for length, mass in zip(digit.shape, (digit.sum(axis=1), digit.sum(axis=0)), strict=True):
        centre = float((np.arange(length) + 0.5) @ mass / mass.sum())
        place.append(int(np.clip(round(SIDE / 2 - centre), 0, SIDE - length)))
    top, left = place
    canvas[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return canvas
