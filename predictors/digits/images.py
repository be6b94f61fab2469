"""A handwritten digit in a PNG or JPEG, as MNIST would have drawn it: 28×28, light on dark.

A model trained on MNIST knows digits that were cropped, scaled into a 20×20 box and placed by their
centre of mass in 28×28 (LeCun et al., doi:10.1109/5.726791, section III A). A photo or a drawing
that is only scaled is another task to it; so every image goes through the same steps here,
whoever sends it. Only predictors that take images import this, and Pillow with it.
"""

import base64
import binascii
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from predictors.runtime.v2.datatypes import Array
from predictors.runtime.v2.errors import InvalidRequest
from predictors.runtime.v2.spec import TensorSpec

SIDE = 28  # pixels
BOX = 20  # pixels, the digit's longer side
INK = 0.2  # of the strongest ink; below it a pixel is paper, for finding the digit's edges
CONTRAST = 16 / 255  # between paper and ink; less is an empty sheet
FORMATS = ("PNG", "JPEG")
MAX_PIXELS = 1 << 24  # 4096×4096 of one image
MAX_SIDE = 1 << 14  # pixels; a strip of one pixel's height is work without a digit on it
MAX_DECODED_BYTES = 1 << 26  # of one request's images together, before any of them is decoded
LARGE_BYTES = 1 << 18  # decoded: some 5 ms; a batch of smaller ones holds up no other for long
MAX_SCANS = 64  # of a JPEG: progressive encoders write about ten, each is a pass over all of it
MAX_CHUNKS = 20_000  # of a PNG
WORKED_SIDE = 1024  # pixels; what is larger is shrunk first, so that floats stay few
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_PNG_BANDS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type: samples a pixel
_PNG_DRAWN = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"}  # the rest is metadata
_ORIENTATION = 0x0112  # EXIF's tag
_FULL_SCALES = (255, 1023, 4095, 16383, 65535)  # of 8, 10, 12, 14 and 16 bits
_SHOWN = 24  # bytes of what is no image

IMAGE = TensorSpec(
    "image", "BYTES", (-1,), optional=True, parameters={"content_type": "image/png, image/jpeg"}
)
"""The input: each element one file, or its base64 text where JSON cannot carry the bytes."""

# Pillow's own guard warns where it should refuse; `_decoded_bytes` looks at the size first.
Image.MAX_IMAGE_PIXELS = None

Pixels = npt.NDArray[np.floating[Any]]


def image_files(images: Array) -> Array:
    """The files of one request, out of their base64 and small enough to decode together.

    Sizes are read from the files' heads: nothing is decoded here.

    Args:
        images: (batch,) of bytes: PNG or JPEG files, or their base64, as `read_images` takes them.

    Returns:
        (batch,) of bytes: the files.

    Raises:
        InvalidRequest: naming the element that is no image or too large, or saying that all of
            them together are.
    """
    files = np.empty(len(images), object)
    decoded_bytes = 0
    for index, content in enumerate(images.tolist()):
        try:
            files[index] = _file(content)
            decoded_bytes += _decoded_bytes(files[index])
        except ValueError as error:
            raise InvalidRequest(f"tensor 'image': element {index} {error}") from error
        if decoded_bytes > MAX_DECODED_BYTES:
            raise InvalidRequest(
                f"tensor 'image': elements 0 … {index} are more than {MAX_DECODED_BYTES >> 20} MiB "
                "when decoded: send smaller images, or fewer in one request"
            )
    return files


def are_large(files: Array) -> bool:
    """Whether decoding the files of one request, as `image_files` gave them, takes long."""
    return sum(map(_decoded_bytes, files.tolist())) > LARGE_BYTES


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
    return _centred(_cropped(_ink(_brightness(_opened(_file(content))))))


def _file(content: bytes) -> bytes:
    """The file itself, where its base64 came: of either alphabet, wrapped, padded or not.

    A data URL's head may stand before it.
    """
    if content.startswith((_PNG, _JPEG)):
        return content
    text = content.partition(b",")[2] if content.startswith(b"data:") else content
    text = b"".join(text.split()).rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        decoded = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        decoded = b""
    if decoded.startswith((_PNG, _JPEG)):
        return decoded
    if not content:
        raise ValueError("is no PNG or JPEG, nor base64 of one: it is empty")
    if decoded:
        start = f"it is base64 of something that begins with {decoded[:_SHOWN]!r}"
    else:
        start = f"it begins with {content[:_SHOWN]!r}"
    raise ValueError(f"is no PNG or JPEG, nor base64 of one: {start}")


def _decoded_bytes(file: bytes) -> int:
    """What a file takes when decoded, by its head."""
    if file.startswith(_PNG):
        head = file[8:29]  # length, b"IHDR", width, height, depth, colour type …
        if len(head) < 18 or head[4:8] != b"IHDR":
            raise ValueError("is a damaged PNG: it does not begin with its size")
        width, height = int.from_bytes(head[8:12], "big"), int.from_bytes(head[12:16], "big")
        bands, band_bytes = _PNG_BANDS.get(head[17], 4), 2 if head[16] > 8 else 1
        _require_size(width, height)
        return width * height * bands * band_bytes
    # Entropy-coded data never holds FF DA: it is a scan's head, or part of a thumbnail.
    scans = file.count(b"\xff\xda")
    if scans > MAX_SCANS:
        raise ValueError(f"is a JPEG of {scans} scans: at most {MAX_SCANS} are taken")
    width, height = _head(file).size
    _require_size(width, height)
    return width * height * max(1, scans // 4)


def _require_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise ValueError(
            f"is {width}×{height}: at most {MAX_PIXELS} pixels, and {MAX_SIDE} a side, are taken; "
            "scale it down"
        )


def _head(file: bytes) -> Image.Image:
    """The image with nothing of it decoded."""
    try:
        return Image.open(BytesIO(file), formats=FORMATS)
    except Exception as error:  # Pillow's parsers raise what they stumble over
        kind = "PNG" if file.startswith(_PNG) else "JPEG"
        raise ValueError(f"is a damaged {kind}: its head cannot be read") from error


def _opened(file: bytes) -> Image.Image:
    """The image, decoded, upright, and no larger than is worked with."""
    _decoded_bytes(file)
    image = _head(_without_metadata(file) if file.startswith(_PNG) else file)
    size = f"{image.width}×{image.height}"
    try:
        image.draft("L", (WORKED_SIDE, WORKED_SIDE))  # a large JPEG is decoded at a fraction
        image.load()
    except Exception as error:  # as above
        raise ValueError(f"is a damaged {image.format} of {size}: {error}") from error
    return _upright(image)


def _without_metadata(file: bytes) -> bytes:
    """A PNG's picture alone: a comment or a profile may be large, damaged or a bomb."""
    kept = [_PNG]
    start, chunks = len(_PNG), 0
    while start + 8 <= len(file):
        stop = start + 12 + int.from_bytes(file[start : start + 4], "big")
        if file[start + 4 : start + 8] in _PNG_DRAWN:
            kept.append(file[start:stop])
        start, chunks = stop, chunks + 1
        if chunks > MAX_CHUNKS:
            raise ValueError(f"is a damaged PNG: it has more than {MAX_CHUNKS} chunks")
    return b"".join(kept)


def _upright(image: Image.Image) -> Image.Image:
    """As its EXIF says it should be seen; EXIF that cannot be read says nothing."""
    with suppress(Exception):  # what Pillow's parser stumbles over; the picture is whole
        if image.getexif().get(_ORIENTATION) in range(2, 9):
            return ImageOps.exif_transpose(image)
    return image


def _brightness(image: Image.Image) -> Pixels:
    """(height, width), 0 black … 1 white; what is transparent becomes paper."""
    if image.mode.startswith("I"):  # 16 bits of grey, of which scanners often fill 8, 10 or 12
        levels = np.asarray(_shrunk(image.convert("F")), np.float32)
        return levels / next(full for full in _FULL_SCALES if levels.max() <= full)
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
