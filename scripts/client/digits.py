"""An image file as MNIST would have drawn it: 28×28, light on dark, pixels 0..1.

A model trained on MNIST knows digits that were cropped, scaled into a 20×20 box and placed by their
centre of mass in 28×28 (LeCun et al., doi:10.1109/5.726791, section III A). A photo or a drawing
that is only scaled is another task to it; so every image goes through the same steps here.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from scripts.client.errors import UsageError

SIDE = 28  # pixels
BOX = 20  # pixels, the digit's longer side
INK = 0.2  # of the strongest ink; below it a pixel is paper, for finding the digit's edges
CONTRAST = 16 / 255  # between paper and ink; less is an empty sheet

Pixels = npt.NDArray[np.floating[Any]]


def read_digit(path: Path) -> Pixels:
    """One digit, ready for a tensor.

    Returns:
        (28, 28) float32, 0 background … 1 ink.

    Raises:
        UsageError: no such file, not an image, too small, or nothing drawn on it.
    """
    try:
        with Image.open(path) as image:
            brightness = _brightness(ImageOps.exif_transpose(image), path)
    except FileNotFoundError:
        raise UsageError(f"{path} is no number, and no such file exists") from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        # Pillow's decoders raise SyntaxError for a broken PNG.
        raise UsageError(f"{path} is not an image: {error}") from error
    return _centred(_cropped(_ink(brightness, path)))


def _brightness(image: Image.Image, path: Path) -> Pixels:
    """(height, width), 0 black … 1 white; what is transparent becomes paper."""
    if min(image.size) < SIDE:
        raise UsageError(f"{path} is {image.width}×{image.height}: at least {SIDE}×{SIDE} is asked")
    if image.mode.startswith("I"):  # 16 bits of grey
        return np.asarray(image, np.float32) / 65535
    if not image.has_transparency_data:
        return np.asarray(image.convert("L"), np.float32) / 255
    grey, alpha = (np.asarray(band, np.float32) / 255 for band in image.convert("LA").split())
    drawn = float((grey * alpha).sum() / max(alpha.sum(), 1e-6))
    paper = 0.0 if drawn > 0.5 else 1.0  # light strokes were drawn on dark, dark ones on light
    return grey * alpha + paper * (1 - alpha)


def _ink(brightness: Pixels, path: Path) -> Pixels:
    """(height, width), 0 paper … 1 the strongest ink, whichever of the two is the lighter one."""
    edges = (brightness[0], brightness[-1], brightness[:, 0], brightness[:, -1])
    paper = np.median(np.concatenate(edges))  # digits rarely touch most of the border
    away = (brightness - paper) * (1 if paper < 0.5 else -1)
    ink: Pixels = np.clip(away, 0, None)
    if ink.max() < CONTRAST:
        raise UsageError(f"{path} has no digit on it: all of it is alike")
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
