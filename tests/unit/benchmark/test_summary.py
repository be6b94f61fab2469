import pytest

from scripts.benchmark.measure import Point, Process
from scripts.benchmark.overload import Accepted, Overload, accepted
from scripts.benchmark.result.summary import Footprint, Row, footprints, interval, rows
from scripts.benchmark.traffic.load import Load


def point(peer: str, number: int, rate: float, transport: str = "rest-json", at: int = 8) -> Point:
    load = Load(round(rate * 2), 2.0, p50_ms=number * 1.0, p99_ms=number * 3.0)
    return Point("iris", peer, transport, at, number, load)


def row(points: list[Point], peer: str, transport: str = "rest-json") -> Row:
    (found,) = [one for one in rows(points) if (one.peer, one.transport) == (peer, transport)]
    return found


def test_ratios_are_taken_within_a_round() -> None:
    """The machine was half as fast in round 2 for all: each ratio is 10, the medians' is not asked.

    In round 3 serin was disturbed alone, which the median leaves out.
    """
    points = [
        *(point("kserve", 1, 1000), point("kserve", 2, 500), point("kserve", 3, 1000)),
        *(point("echo", 1, 40000), point("echo", 2, 20000), point("echo", 3, 40000)),
        *(point("serin", 1, 10000), point("serin", 2, 5000), point("serin", 3, 2000)),
    ]

    serin = row(points, "serin")

    assert serin.to_stock == pytest.approx(10)
    assert serin.to_floor == pytest.approx(0.25)
    assert serin.rounds == (10000, 5000, 2000)
    assert serin.requests_per_second == 5000
    assert (serin.p50_ms, serin.p99_ms) == (2.0, 6.0)


def test_grpc_is_compared_with_grpc_and_both_forms_of_rest_with_json() -> None:
    """Stock KServe over gRPC is the base of gRPC alone; the echo is everybody's floor."""
    points = [
        *(point("kserve", 1, 1000), point("kserve", 1, 2000, "grpc"), point("echo", 1, 40000)),
        *(point("serin", 1, 8000, "grpc"), point("serin", 1, 12000, "rest-binary")),
    ]

    assert row(points, "serin", "grpc").to_stock == pytest.approx(4)
    assert row(points, "serin", "rest-binary").to_stock == pytest.approx(12)
    assert row(points, "serin", "grpc").to_floor == pytest.approx(0.2)


def test_other_connections_and_models_are_no_base() -> None:
    """A ratio compares the same number of connections of the same model."""
    points = [point("kserve", 1, 1000, at=1), point("serin", 1, 8000, at=64)]

    assert row(points, "serin").to_stock is None


def test_without_a_base_there_is_no_ratio() -> None:
    """A round in which stock KServe was not measured counts for nothing; none at all gives None."""
    alone = [point("serin", 1, 8000)]
    once = [point("serin", 1, 8000), point("serin", 2, 9000), point("kserve", 2, 900)]
    stuck = [point("serin", 1, 8000), point("kserve", 1, 0)]

    assert row(alone, "serin").to_stock is None
    assert row(once, "serin").to_stock == pytest.approx(10)
    assert row(stuck, "serin").to_stock is None


def test_the_ratio_to_an_earlier_commit_is_of_each_round_and_of_serin_alone() -> None:
    """Over the same transport; the machine was half as fast in round 2 for both."""
    points = [
        *(point("serin", 1, 1100), point("serin", 2, 450), point("serin", 1, 300, "grpc")),
        *(point("before", 1, 1000), point("before", 2, 500), point("before", 1, 200, "grpc")),
        *(point("kserve", 1, 100), point("kserve", 2, 100)),
    ]

    assert row(points, "serin").to_before == pytest.approx((1.1, 0.9))
    assert row(points, "serin", "grpc").to_before == pytest.approx((1.5,))
    assert row(points, "kserve").to_before == ()
    assert row(points, "before").to_before == ()


@pytest.mark.parametrize(
    ("count", "low"), [(1, 0), (2, 0), (5, 0), (6, 0), (8, 0), (9, 1), (12, 2), (20, 5)]
)
def test_an_interval_is_that_of_the_median(count: int, low: int) -> None:
    """The published table for a median's 95 %: of 9 rounds the second to the eighth, and so on."""
    values = [float(number) for number in reversed(range(count))]

    assert interval(values) == (low, count - 1 - low)


def test_a_start_is_the_quickest_and_memory_the_median() -> None:
    """A first start also reads files from the disk, which is not the server's doing."""
    mib = 2**20
    processes = [
        *(
            Process("iris", "kserve", 1, 6.0, 200 * mib),
            Process("iris", "kserve", 2, 4.0, 220 * mib),
        ),
        *(Process("iris", "serin", 1, 3.0, 100 * mib), Process("iris", "serin", 2, 1.0, 110 * mib)),
        Process("mnist-forest", "serin", 1, 0.5, mib),
    ]

    assert footprints(processes) == [
        Footprint("iris", "kserve", 4.0, 210.0, 1.0, 1.0),
        Footprint("iris", "serin", 1.0, 105.0, 0.25, 0.5),
        Footprint("mnist-forest", "serin", 0.5, 1.0, None, None),
    ]


def test_overload_judges_what_was_accepted() -> None:
    """Refusals are quick, and would make the percentiles of all answers look well."""
    answers = [(200, 4000), (429, 100), (200, 8000), (429, 100)]

    expected = Accepted(
        offered_per_second=1000,
        accepted_per_second=1,
        refused_per_second=1,
        p50_ms=4.0,
        p99_ms=8.0,
    )
    assert accepted(answers, seconds=2, offered=1000) == expected


@pytest.mark.parametrize(
    ("answers", "reason"),
    [([(200, 5), (503, 5), (500, 5)], "status 500, 503"), ([(429, 5)], "nothing was accepted")],
)
def test_overload_that_breaks_is_no_result(answers: list[tuple[int, int]], reason: str) -> None:
    """Past its capacity a predictor refuses with 429, and nothing else."""
    with pytest.raises(Exception, match=reason):
        accepted(answers, seconds=1, offered=None)


def test_overload_is_the_ratio_of_the_slowest_accepted() -> None:
    """The issue's measure: p99 of accepted requests, past capacity to at capacity."""
    at, past = Accepted(None, 100, 0, 1.0, 4.0), Accepted(400, 90, 310, 2.0, 6.0)

    assert Overload("iris", at, past).p99_ratio == pytest.approx(1.5)
