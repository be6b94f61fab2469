"""What `serin top` shows in 80 columns."""

import pytest

from scripts.verbs.platform.top import HEADER, by_model, fitted, model

ROW = (
    "iris",
    "9defaa9a502e",
    "1234.5/s",
    "0.00%",
    "0.00%",
    "358 ms",
    "499 ms",
    "891 ms",
    "64",
    "1/1",
)


@pytest.mark.parametrize(
    ("deployment", "shown"),
    [
        ("iris-predictor", "iris"),
        ("iris-canary-predictor", "iris canary"),
        ("mnist-forest-predictor", "mnist-forest"),
        ("other", "other"),
    ],
)
def test_a_deployment_is_its_model_or_its_canary(deployment: str, shown: str) -> None:
    """They can be told apart."""
    assert model(deployment) == shown


def test_a_canary_comes_after_its_model() -> None:
    """By the alphabet of Deployments it would come before."""
    keys = [("iris-canary-predictor", "b"), ("iris-predictor", "a"), ("causal-lm-predictor", "c")]

    assert sorted(keys, key=by_model) == [keys[2], keys[1], keys[0]]


@pytest.mark.parametrize("name", ["iris", "iris canary", "mnist-forest canary"])
@pytest.mark.parametrize("cancelled", ["0.00%", "12.50%"])
def test_a_narrow_terminal_loses_whole_columns_and_no_numbers(name: str, cancelled: str) -> None:
    """Model, version, rate, failures and the slow end of latency stay; a zero nobody needs goes."""
    row = (name, *ROW[1:4], cancelled, *ROW[5:])
    header, (shown,) = fitted([row], 80)

    assert sum(max(map(len, pair)) + 2 for pair in zip(header, shown, strict=True)) - 2 <= 80
    assert {"MODEL", "VERSION", "RATE", "FAILED", "P95", "P99"} <= set(header)
    assert ("CANCELLED" in header) == (cancelled != "0.00%")
    assert shown[:3] == (name, "9defaa9", "1234.5/s")


def test_a_wide_terminal_has_them_all() -> None:
    """Nothing is left out but a column of zeros."""
    header, _ = fitted([ROW], 120)

    assert header == tuple(name for name in HEADER if name != "CANCELLED")
