"""Digits: MNIST's idx files, good and bad, and redrawing at MNIST's size."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from training.digits.data import bundled, mnist, redraw, with_shifts
from training.errors import DataError

TRAIN, TEST = 3, 2  # rows


def _idx(magic: int, array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4) for size in array.shape)
    return magic.to_bytes(4) + sizes + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny MNIST: pixel values and labels count upwards."""
    for part, rows in (("train", TRAIN), ("t10k", TEST)):
        images = np.arange(rows * 784).reshape(rows, 28, 28) % 256
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(_idx(2051, images))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(_idx(2049, np.arange(rows)))
    return tmp_path


def test_pixels_become_shares_of_ink(folder: Path) -> None:
    """Bytes 0 … 255 become float32 0 … 1, a row an image, in order."""
    digits = mnist(folder)

    assert digits.train_pixels.shape == (TRAIN, 784)
    assert digits.train_pixels.dtype == np.float32
    assert digits.train_pixels[0, 255] == 1
    assert digits.train_pixels[1, 0] == np.float32((784 % 256) / 255)
    assert digits.train_labels.tolist() == [0, 1, 2]
    assert digits.test_labels.tolist() == [0, 1]


@pytest.mark.parametrize("spelling", ["-idx", ".idx"])
@pytest.mark.parametrize("packed", [False, True])
def test_both_spellings_are_read_packed_or_not(folder: Path, spelling: str, packed: bool) -> None:
    """The same digits come out of train-images-idx3-ubyte, .idx3-ubyte and their .gz."""
    expected = mnist(folder).identity
    for path in list(folder.iterdir()):
        raw = path.read_bytes()
        path.unlink()
        name = path.name.replace("-idx", spelling) + (".gz" if packed else "")
        (folder / name).write_bytes(gzip.compress(raw) if packed else raw)

    assert expected == mnist(folder).identity


def test_identity_changes_with_a_pixel_and_with_a_label(folder: Path) -> None:
    """The manifest's data hash covers both."""
    before = mnist(folder).identity["sha256"]
    labels = folder / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x07")
    other_label = mnist(folder).identity["sha256"]
    images = folder / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1] + b"\x07")

    assert len({before, other_label, mnist(folder).identity["sha256"]}) == 3


@pytest.mark.parametrize("part", ["train-images", "train-labels", "t10k-images", "t10k-labels"])
def test_a_missing_file_is_named(folder: Path, part: str) -> None:
    """Each of the four, and the folder it was looked for in."""
    (path,) = folder.glob(f"{part}*")
    path.unlink()

    with pytest.raises(DataError, match=rf"no {part}-idx.-ubyte.* in {folder}"):
        mnist(folder)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A typing error in --data reads like a missing file."""
    with pytest.raises(DataError, match="nowhere"):
        mnist(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda raw: raw[:-1], "expected 2368 bytes", id="cut"),
        pytest.param(lambda raw: raw + b"\0", "expected 2368 bytes", id="trailing"),
        pytest.param(lambda raw: raw[:10], "got 10", id="cut header"),
        pytest.param(lambda raw: raw[:2], "not an idx file of images", id="cut magic"),
        pytest.param(lambda _: b"", "not an idx file of images", id="empty"),
        pytest.param(
            lambda raw: (2049).to_bytes(4) + raw[4:], "expected magic 2051, got 2049", id="magic"
        ),
        pytest.param(
            lambda _: _idx(2051, np.zeros((TRAIN, 8, 8))), "expected images of 28×28", id="8×8"
        ),
        pytest.param(
            lambda _: _idx(2051, np.zeros((TRAIN - 1, 28, 28))), "2 images, .* 3 labels", id="rows"
        ),
        pytest.param(
            lambda raw: raw[:4] + b"\xff" * 4 + raw[8:], "expected .* bytes", id="huge count"
        ),
    ],
)
def test_damaged_images_are_refused_by_name(folder: Path, damage, message: str) -> None:
    """Truncated, too long, another file's, other sizes: one sentence each, naming the file."""
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(DataError, match=message) as refused:
        mnist(folder)
    assert path.name in str(refused.value)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"not gzip", id="not gzip"),
        pytest.param(gzip.compress(bytes(range(256)))[:-30], id="cut"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_damaged_gzip_file_is_refused_by_name(folder: Path, raw: bytes) -> None:
    """Not gzip at all, cut off, or empty."""
    (folder / "train-images-idx3-ubyte").unlink()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(raw)

    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz"):
        mnist(folder)


def test_a_label_past_nine_is_refused(folder: Path) -> None:
    """EMNIST's letters share MNIST's format."""
    (folder / "t10k-labels-idx1-ubyte").write_bytes(_idx(2049, np.array([3, 10])))

    with pytest.raises(DataError, match="expected labels 0 … 9, got 10"):
        mnist(folder)


def test_a_digit_is_redrawn_as_mnist_draws() -> None:
    """Longer side 20 pixels, centre of mass within half a pixel of the middle, ink 0 … 1."""
    image = np.zeros((8, 8))
    image[1:7, 3] = 1  # a one, six high
    image[1, 2] = 0.5

    drawn = redraw(image)
    rows, columns = (np.flatnonzero((drawn > 0.01).any(axis=axis)) for axis in (1, 0))
    total = drawn.sum()
    centre = [(drawn.sum(axis=axis) @ np.arange(28)) / total for axis in (1, 0)]

    assert drawn.shape == (28, 28)
    assert np.ptp(rows) + 1 == 20
    assert np.ptp(columns) + 1 <= 20
    assert np.abs(np.array(centre) - 13.5).max() <= 0.51
    assert 0 <= drawn.min() <= drawn.max() <= 1


def test_a_heavy_corner_does_not_push_a_digit_off_the_paper() -> None:
    """Where the centre of mass lies far out, the digit stays whole at the edge."""
    image = np.zeros((20, 20))
    image[:5] = 1
    image[5:, 3] = 0.2

    drawn = redraw(image)

    assert (drawn > 0.1).sum() == 5 * 20 + 15


def test_shifts_move_and_do_not_wrap_ink() -> None:
    """Four moved copies a pixel of distance, labels repeated to match."""
    pixels = np.zeros((2, 784), np.float32)
    pixels[:, 14 * 28 + 14] = [0.25, 0.5]

    moved, labels = with_shifts(pixels, np.array([4, 7]), 2)

    assert moved.shape == (2 * 9, 784)
    assert labels.tolist() == [4, 7] * 9
    assert sorted(moved[::2].argmax(axis=1) - (14 * 28 + 14)) == [
        -56, -28, -2, -1, 0, 1, 2, 28, 56,
    ]  # fmt: skip
    assert with_shifts(pixels, np.array([4, 7]), 0)[0].tolist() == pixels.tolist()


def test_bundled_digits_are_split_by_seed() -> None:
    """1,797 digits, every label in both parts, another split for another seed."""
    digits = bundled(0)

    assert len(digits.train_labels) + len(digits.test_labels) == 1797
    assert set(digits.test_labels.tolist()) == set(range(10))
    assert digits.identity == bundled(0).identity
    assert digits.identity["sha256"] != bundled(1).identity["sha256"]
