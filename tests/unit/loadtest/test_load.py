"""The parts of `serin load` that need no network."""

import json

import numpy as np
import pytest

from controlplane.simulation import load as loads
from scripts.client.errors import UsageError
from scripts.loadtest import inputs, target
from scripts.loadtest.plan import RECORD, Plan
from scripts.loadtest.rest import version_of
from scripts.loadtest.tally import Tally
from scripts.loadtest.wire import grpc_request, grpc_version, rest_request

TENSOR = {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1.0, 2.0, 3.0, 4.0]}


def test_even_arrivals_have_equal_gaps_across_a_change_of_rate() -> None:
    """A rate's share of a gap carries over into the next rate: nothing is lost or doubled."""
    found = list(loads.Load((0.0, 1.0, 2.0), (4.0, 0.0, 2.0), 4.0).evenly())

    assert found == pytest.approx([0, 0.25, 0.5, 0.75, 2.0, 2.5, 3.0, 3.5])


def test_a_ramp_sends_half_of_its_highest_rate_on_average() -> None:
    """The area below a ramp is that of a triangle."""
    found = list(loads.built_in("ramp", 0, 100, 20, step=0.2).evenly())

    assert len(found) == pytest.approx(1000, rel=0.02)
    assert len([at for at in found if at < 10]) == pytest.approx(250, rel=0.05)


def test_a_plan_survives_its_pipe() -> None:
    """What the engine reads is what was planned."""
    curve = loads.Load((0.0, 5.0), (1.0, 2.0), 10.0)
    plan = Plan("h", 1, False, "a", True, (b"\0\xff", b"x"), curve, True, 3, 4, 5.0)

    assert Plan.read(plan.dump()) == plan


def test_errors_count_but_not_in_latencies() -> None:
    """Three answers and a refusal: four requests, three latencies, by version and second."""
    tally = Tally()
    tally.name(json.dumps({"outcomes": ["ok", "HTTP 429"], "versions": ["a", "b", ""]}).encode())
    rows = [
        (0.1, 0.0, 0.01, 0, 0),
        (0.2, 0.5, 0.6, 0, 1),
        (1.5, 0, 0.03, 0, 1),
        (1.6, 0, 1e-4, 1, 2),
    ]
    tally.record(b"".join(RECORD.pack(*row) for row in rows))

    assert tally.total.requests == 4
    assert dict(tally.total.errors) == {"HTTP 429": 1}
    assert dict(tally.total.versions) == {"a": 1, "b": 2}
    assert tally.latency.count == 3
    assert tally.latency.quantile(1) == pytest.approx(0.6, rel=1e-3)
    assert tally.service.quantile(1) == pytest.approx(0.1, rel=1e-3)
    assert {second: row.requests for second, row in tally.seconds.items()} == {0: 2, 1: 2}


def test_the_histogram_keeps_three_digits() -> None:
    """Quantiles of a wide distribution are right within a thousandth."""
    values = np.random.default_rng(1).lognormal(-5, 1.5, 20_000)
    tally = Tally()
    tally.latency.add(values)

    for share in (0.5, 0.9, 0.99, 0.999):
        exact = float(np.quantile(values, share, method="inverted_cdf"))
        assert tally.latency.quantile(share) == pytest.approx(exact, rel=2e-3, abs=2e-6)


def test_a_batch_becomes_requests_of_one_row() -> None:
    """Each row travels alone, flat."""
    found = inputs.rows([TENSOR])

    assert [one[0]["data"] for one in found] == [[1.0, 2.0], [3.0, 4.0]]
    assert {tuple(one[0]["shape"]) for one in found} == {(1, 2)}


def test_requests_are_what_the_protocols_ask_for() -> None:
    """REST has a head with the length of its body; gRPC frames end the stream once."""
    head, _, body = rest_request("h", "m", [TENSOR]).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["inputs"][0]["data"] == TENSOR["data"]

    call = grpc_request("h", "m", [{**TENSOR, "shape": [1, 8000], "data": [1.0] * 8000}], False)
    flags, at = [], 0
    while at < len(call):
        flags.append((call[at + 3], call[at + 4]))
        at += 9 + int.from_bytes(call[at : at + 3], "big")
    assert flags == [(1, 4), (0, 0), (0, 1)]


def test_a_call_past_a_window_is_refused() -> None:
    """A message that could not be sent in one go says so."""
    with pytest.raises(UsageError, match="load it over REST"):
        grpc_request("h", "m", [{**TENSOR, "shape": [1, 20000], "data": [1.0] * 20000}], False)


def test_versions_are_read_from_the_beginning_of_answers() -> None:
    """JSON with and without spaces, protobuf, and answers without a version."""
    assert version_of(b'{"model_name":"m","model_version":"ab1","outputs":[]}') == "ab1"
    assert version_of(b'{"model_name": "m", "model_version": "ab2"}') == "ab2"
    assert version_of(b'{"model_name":"m"}') == ""
    assert grpc_version(b"\0\0\0\0\x08" + b"\x0a\x01m" + b"\x12\x03ab3") == "ab3"
    assert grpc_version(b"\0\0\0\0\x03" + b"\x0a\x01m") == ""


@pytest.mark.parametrize("url", ["http://10.1.2.3:80", "https://models.example.org"])
def test_other_machines_are_not_loaded_unasked(url: str) -> None:
    """Only loopback, or --yes."""
    with pytest.raises(UsageError, match="--yes"):
        target.find("iris", url, None, sure=False)
    assert target.find("iris", url, None, sure=True).gateway.url == url


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://[::1]:1", "iris-m.localhost:80"])
def test_this_machine_is_loaded(url: str) -> None:
    """Loopback by number and by name."""
    assert target.find("iris", url, None, sure=False).gateway.local or url[7] in "1["
