"""Infer requests made of files, for every model: each is the JSON that it stands for."""

import base64
import gzip
import subprocess
from typing import Any

import pytest

from predictors.runtime.rest.files import MAX_PARTS
from tests.support.documents import ROOT
from tests.support.predictor import Answer, Predictor, model_class

SEVEN = (ROOT / "docs" / "seven.png").read_bytes()
PART = b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
PNG = {"Content-Type": "image/png"}


def form(*parts: tuple[bytes, bytes, bytes]) -> bytes:
    """A form of name, further options and content."""
    return b"".join(PART % part for part in parts) + b"--b--\r\n"


def files(count: int, name: bytes = b"image") -> bytes:
    """A form of that many sevens."""
    return form(*[(name, b'; filename="7.png"', SEVEN)] * count)


def post(predictor: Predictor, body: bytes, headers: dict[str, str]) -> Answer:
    """One request to the infer path."""
    return predictor.request("POST", predictor.infer_path, body, headers)


def as_json(predictor: Predictor, rows: int) -> list[dict[str, Any]]:
    """The outputs of as many sevens in V2's own form."""
    data = [base64.b64encode(SEVEN).decode()] * rows
    image = {"name": "image", "datatype": "BYTES", "shape": [rows], "data": data}
    answer = predictor.infer({"inputs": [image]})
    assert answer.status == 200, answer.body
    outputs: list[dict[str, Any]] = answer.json["outputs"]
    return outputs


@pytest.fixture
def takes_images(predictor: Predictor) -> Predictor:
    """A predictor with an input that takes files."""
    if not any(spec.media_types for spec in declared(predictor)):
        pytest.skip("takes no files")
    return predictor


def declared(predictor: Predictor) -> tuple[Any, ...]:
    """The model's inputs, as its server describes them."""
    inputs: tuple[Any, ...] = model_class(predictor.model).inputs
    return inputs


@pytest.mark.parametrize("rows", [1, 3])
def test_a_form_is_answered_as_the_json_it_stands_for(takes_images: Predictor, rows: int) -> None:
    """Each file is a row, and the field may have any name."""
    for name in (b"image", b"file"):
        answer = post(takes_images, files(rows, name), FORM)

        assert answer.status == 200, answer.body
        assert answer.headers["content-type"] == "application/json"
        assert answer.json["outputs"] == as_json(takes_images, rows)


@pytest.mark.parametrize("kind", ["image/png", "IMAGE/PNG; q=1", "image/jpeg", "image/jpg"])
def test_a_bare_image_is_answered_as_the_json_it_stands_for(
    takes_images: Predictor, kind: str
) -> None:
    """What the file is, the file says; a wrong one of the declared types harms nobody."""
    answer = post(takes_images, SEVEN, {"Content-Type": kind})

    assert answer.status == 200, answer.body
    assert answer.json["outputs"] == as_json(takes_images, 1)


def test_curl_sends_files_both_ways(takes_images: Predictor) -> None:
    """`curl -F` and `curl --data-binary`, as people type them."""
    url = f"http://127.0.0.1:{takes_images.http_port}{takes_images.infer_path}"
    seven = f"{ROOT}/docs/seven.png"
    answered = model_class(takes_images.model).outputs[0].name
    for arguments in (
        ["-F", f"image=@{seven}", "-F", f"image=@{seven}", "-F", "id=two"],
        ["--data-binary", f"@{seven}", "-H", "Content-Type: image/png"],
    ):
        done = subprocess.run(
            ["curl", "-sS", "--fail-with-body", url, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )

        assert done.returncode == 0, done.stdout + done.stderr
        assert f'"{answered}"' in done.stdout
        assert ('"id":"two"' in done.stdout) == ("-F" in arguments)


def test_files_come_compressed_chunked_and_with_ids(takes_images: Predictor) -> None:
    """What holds for JSON bodies holds for files."""
    packed = post(takes_images, gzip.compress(files(2)), FORM | {"Content-Encoding": "gzip"})
    chunks = takes_images.request("POST", takes_images.infer_path, iter([files(2)]), FORM)
    named = post(takes_images, SEVEN, PNG | {"x-request-id": "from-envoy-9"})

    assert packed.json["outputs"] == chunks.json["outputs"] == as_json(takes_images, 2)
    assert named.headers["x-request-id"] == "from-envoy-9"


@pytest.mark.parametrize(
    ("body", "headers", "status", "expected"),
    [
        (b"hello", PNG, 400, "is no PNG or JPEG"),
        (b"", PNG, 400, "empty"),
        (SEVEN, {"Content-Type": "image/gif"}, 415, "image/png, or image/jpeg"),
        (form(), FORM, 400, "has no file"),
        (b"", FORM, 400, "ends early"),
        (b"hello", FORM, 400, "no multipart/form-data"),
        (files(1)[:-20], FORM, 400, "ends early"),
        (files(1), {"Content-Type": "multipart/form-data"}, 400, "needs a boundary"),
        (files(1), {"Content-Type": "multipart/form-data; boundary=" + "b" * 300}, 400, "oundary"),
        (form((b"color", b"", b"red")), FORM, 400, "'color' is no file"),
        (form((b"image", b"", b"red")), FORM, 400, "element 0 is no PNG"),
        (form(*[(b"image", b'; filename="x"', b"")] * (MAX_PARTS + 1)), FORM, 400, "1024 parts"),
        (form((b"id", b"", b"a"), (b"id", b"", b"b")), FORM, 400, "at most one 'id'"),
        (
            form((b"image", b"\r\nContent-Transfer-Encoding: base64", b"aaaa")),
            FORM,
            400,
            "as they are",
        ),
        (b"x" * (9 << 20), PNG, 413, "PREDICTOR_MAX_BODY_BYTES"),
        (SEVEN, PNG | {"x-request-timeout-ms": "soon"}, 400, "x-request-timeout-ms"),
    ],
    ids=range(16),
)
def test_what_is_no_file_is_named(
    takes_images: Predictor, body: bytes, headers: dict[str, str], status: int, expected: str
) -> None:
    """A V2 error that says what was expected, and the server lives on."""
    answer = post(takes_images, body, headers)

    assert answer.status == status, answer.body
    assert expected in answer.json["error"]


def test_models_without_files_say_what_they_take(predictor: Predictor) -> None:
    """A form is a 415 where no input takes files."""
    if any(spec.media_types for spec in declared(predictor)):
        pytest.skip("takes files")
    for body, headers in ((files(1), FORM), (SEVEN, PNG)):
        answer = post(predictor, body, headers)

        assert answer.status == 415
        assert "expected content-type application/json" in answer.json["error"]
