"""Request bodies that KServe, TorchServe and MLServer ship, sent to every model as they are."""

import json

import pytest

from tests.support.predictor import Predictor
from tests.support.required import shared_data

KSERVE_IRIS = "kserve-docs_iris-input.json"


def test_no_upstream_body_is_a_500_and_invalid_ones_are_4xx(predictor: Predictor) -> None:
    """What INDEX.json calls valid may fit the model or not; the rest is refused with a message."""
    folder = shared_data("v2_requests")
    index = json.loads((folder / "INDEX.json").read_text())
    assert len(index) > 20
    for entry in index:
        answer = predictor.infer((folder / entry["file"]).read_bytes())

        assert answer.status < 500, entry
        if "valid" not in entry["verdict"]:
            assert 400 <= answer.status < 500, (entry, answer.body)
        assert answer.status == 200 or answer.json["error"]


def test_kserves_own_iris_sample_is_answered(predictor: Predictor) -> None:
    """KServe's tutorial request works on Serin's iris unchanged."""
    if predictor.model != "iris":
        pytest.skip("iris only")
    answer = predictor.infer((shared_data("v2_requests") / KSERVE_IRIS).read_bytes())

    assert answer.status == 200
    assert answer.json["outputs"][0]["data"] == [1, 1]
