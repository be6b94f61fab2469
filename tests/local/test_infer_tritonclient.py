"""NVIDIA's V2 client, which nobody here wrote, against every model through Envoy."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.documents import ROOT
from tests.support.platform import Platform

MODELS = ("iris", "mnist-cnn", "mnist-forest")


def asked(platform: Platform, model: str) -> dict[str, Any]:
    address = platform.url.removeprefix("http://")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.triton_client", address, model],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"{done.stderr}\n{platform.log()}"
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("model", MODELS)
def test_tritonclient_asks_in_every_way_and_gets_the_same(trained: Platform, model: str) -> None:
    """JSON, binary tensors in, out and both, gRPC by address or host: one answer, with its id."""
    got = asked(trained, model)
    answers = got["answers"]

    assert got["ready"] == [True, True]
    assert got["server"] == [[True, True]] * 3
    assert set(MODELS) <= set(got["index"])
    assert got["config"] == {"rest": model, "grpc": model}
    assert {way: answer["id"] for way, answer in answers.items()} == dict.fromkeys(answers, "seven")
    for way, answer in answers.items():
        assert answer["outputs"] == answers["json"]["outputs"], way
    assert len(answers) == 6
    assert len(answers["json"]["outputs"]["probabilities"]) % 3 == 0


@pytest.mark.parametrize("model", MODELS)
def test_tritonclient_reads_the_same_metadata_over_both_protocols(
    trained: Platform, model: str
) -> None:
    """Names, datatypes and shapes; V2's gRPC writes shapes as text in JSON."""
    metadata = asked(trained, model)["metadata"]

    def tensors(side: str) -> list[tuple[str, str, list[int]]]:
        found = [*metadata[side]["inputs"], *metadata[side]["outputs"]]
        return [(one["name"], one["datatype"], [int(n) for n in one["shape"]]) for one in found]

    assert tensors("rest") == tensors("grpc")
    assert metadata["rest"]["versions"] == metadata["grpc"]["versions"]


def test_tritonclient_is_told_what_is_wrong(trained: Platform) -> None:
    """A wrong shape is a 400 that names the tensor, as an exception of the client's own."""
    refusal = asked(trained, "iris")["refusal"]

    assert refusal.startswith("400 ")
    assert "input-0" in refusal
