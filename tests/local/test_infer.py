"""`serin infer` against a running platform, through its Envoy."""

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.documents import ROOT
from tests.support.platform import Platform
from tests.support.required import shared_data

FLOWERS = ["5.1", "3.5", "1.4", "0.2", "6.1", "3.0", "5.1", "1.7"]
SEVEN = str(ROOT / "docs" / "seven.png")
NO_IMAGE = "tensor 'image': element 0 is no PNG or JPEG, nor base64 of one: it "


@pytest.mark.parametrize("question", [("iris", *FLOWERS), ("mnist-cnn", SEVEN, SEVEN)])
def test_rest_and_grpc_give_equal_numbers(trained: Platform, question: tuple[str, ...]) -> None:
    """Not nearly equal: the same FP32, and the same text of it."""
    rest = json.loads(trained.serin("infer", *question, "--json").stdout)
    grpc = json.loads(trained.serin("infer", *question, "--json", "--grpc").stdout)

    assert rest.pop("id") != grpc.pop("id")
    assert rest == grpc
    assert [output["shape"][0] for output in rest["outputs"]] == [2] * len(rest["outputs"])


def test_the_answer_is_a_table_with_labels(trained: Platform) -> None:
    """Species by name, for each row asked, the likeliest first; without colour where none is."""
    printed = trained.serin("infer", "iris", *FLOWERS, "--grpc").stdout
    first, second = printed.split("6.1 3.0 5.1 1.7")

    assert "\x1b" not in printed
    assert first.index("5.1 3.5 1.4 0.2") < first.index("setosa") < first.index("versicolor")
    assert second.index("virginica") < second.index("versicolor") < second.index("setosa")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("iris", "5.1", "3.5", "1.4"), "Error: iris takes 4 numbers a row: got 3\n"),
        (("iris", SEVEN), f"Error: iris takes 4 numbers a row: {SEVEN!r} is not a number\n"),
        (("mnist-forest", "no.png"), "Error: no.png is no number, and no such file exists\n"),
        (("mnist-forest", __file__), f"Error: mnist-forest refuses: {NO_IMAGE}"),
        (("iris", "1", "2", "3", "4", "--set", "k=1"), "Error: iris has no input k: it takes "),
        (("roses", "1"), "Error: There is no model roses. There are: "),
    ],
    ids=["count", "image for numbers", "no file", "no image", "no input", "no model"],
)
@pytest.mark.parametrize("flags", [(), ("--grpc",)], ids=["rest", "grpc"])
def test_what_does_not_fit_is_one_sentence_and_exit_2(
    trained: Platform, arguments: tuple[str, ...], sentence: str, flags: tuple[str, ...]
) -> None:
    """Nothing on stdout, no traceback."""
    done = trained.serin("infer", *arguments, *flags, expect=2)

    assert done.stdout == ""
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


def test_a_named_gateway_is_asked_instead_of_this_checkouts(
    trained: Platform, tmp_path: Path
) -> None:
    """From a checkout where nothing runs, by address and by KServe's host name."""
    elsewhere = Platform(tmp_path)
    port = trained.url.rsplit(":", 1)[1]

    for host in (trained.url, f"iris-models.localhost:{port}"):
        done = elsewhere.serin("infer", "iris", *FLOWERS, "--host", host, "--json")
        assert json.loads(done.stdout)["model_name"] == "iris"


def some_of(mnist: Path, folder: Path) -> Path:
    """The first 20,000 digits to learn and 2,000 to test, in the same four files: a third of it."""
    folder.mkdir()
    for path in mnist.iterdir():
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        rows = 20_000 if path.name.startswith("train") else 2_000
        head, size = (16, 28 * 28) if "images" in path.name else (8, 1)
        kept = raw[:4] + struct.pack(">I", rows) + raw[8 : head + rows * size]
        (folder / path.name.removesuffix(".gz")).write_bytes(kept)
    return folder


@pytest.mark.timeout(300)
def test_drawings_are_read_by_a_network_of_real_mnist(
    fresh: Callable[..., Platform], tmp_path: Path
) -> None:
    """45 of 50 images that nobody prepared, after a fifteenth of a training, by both protocols."""
    data, images = some_of(shared_data("mnist"), tmp_path / "mnist"), shared_data("digits_png")
    listed = json.loads((images / "labels.json").read_text())
    platform = fresh()
    short = ("--epochs=1", "--min-accuracy=0.95", "--data", str(data))
    platform.serin("train", "mnist-cnn", *short, seconds=280)
    platform.serin("up", "mnist-cnn")

    files = [str(images / one["file"]) for one in listed]
    for over in ([], ["--grpc"]):
        answer = json.loads(platform.serin("infer", "mnist-cnn", *files, "--json", *over).stdout)
        (read,) = [output["data"] for output in answer["outputs"] if output["name"] == "digit"]

        assert sum(got == one["label"] for got, one in zip(read, listed, strict=True)) >= 45
