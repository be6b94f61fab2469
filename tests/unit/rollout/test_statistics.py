"""Evidence against numbers that were integrated, and against chance."""

import numpy as np
import pytest
from scipy.integrate import quad  # type: ignore[import-untyped]  # no stubs
from scipy.stats import beta  # type: ignore[import-untyped]  # no stubs

from controlplane.rollout.judging.statistics import log_evidence, log_excess, log_shift


@pytest.mark.parametrize(
    ("hits", "misses", "limit"), [(0, 0, 0.1), (5, 20, 0.1), (1, 80, 0.05), (9, 3, 0.55)]
)
def test_it_is_the_mean_likelihood_ratio_over_the_prior(
    hits: int, misses: int, limit: float
) -> None:
    """By numerical integration of its definition."""
    prior = beta(1, limit**-0.5)

    def ratio(chance: float) -> float:
        told = (chance / limit) ** hits * ((1 - chance) / (1 - limit)) ** misses
        return float(told * prior.pdf(chance) / prior.sf(limit))

    expected, _ = quad(ratio, limit, 1)

    assert np.exp(log_evidence(hits, misses, limit)) == pytest.approx(expected, rel=1e-6)


def test_looking_after_every_request_keeps_the_error_rate() -> None:
    """2,000 innocent sequences of 400 coins, looked at 400 times: at most 5 % reach 1/0.05."""
    rng = np.random.default_rng(3)
    hits = rng.random((2000, 400)) < 0.1
    seen = np.arange(1, 401)
    count = hits.cumsum(axis=1)

    worst = log_evidence(count, seen - count, 0.1).max(axis=1)

    assert np.mean(worst >= np.log(1 / 0.05)) <= 0.05
    assert np.mean(worst >= np.log(1 / 0.5)) > 0.05, "it can reach something at all"


def test_an_excess_is_judged_by_the_share_of_the_requests() -> None:
    """Ten errors of each are much where the canary has a tenth of the requests, else nothing."""
    assert log_excess(10, 10, 100, 900, 1.25) > np.log(1000)
    assert log_excess(10, 10, 500, 500, 1.25) < 0
    assert log_excess(10, 10, 100, 900, 20.0) < 0
    assert log_excess(0, 0, 0, 0, 1.25) == 0
    assert log_excess(3, 0, 100, 0, 1.25) == 0, "without stable there is no comparison"


def test_a_share_that_rose_or_fell_is_found_among_many() -> None:
    """Ten shares, one of which moved; falling counts only where it is asked for."""
    stable = np.array([*[1000.0] * 10, 10_000.0])
    rose, fell = stable.copy(), stable.copy()
    rose[3], fell[3] = 1800, 400

    assert log_shift(rose, stable, 1.25, both_ways=False) > np.log(1000)
    assert log_shift(fell, stable, 1.25, both_ways=True) > np.log(1000)
    assert log_shift(fell, stable, 1.25, both_ways=False) < np.log(1000)
    assert log_shift(stable, stable, 1.25, both_ways=True) < 0
    assert log_shift(stable[10:], stable[10:], 1.25, both_ways=True) == 0
