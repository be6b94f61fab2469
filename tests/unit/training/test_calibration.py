"""Calibration on numbers whose answers are known."""

import numpy as np
import pytest

from training.entailment.calibration import (
    expected_calibration_error,
    fit_temperature,
    log_loss,
    softmax,
    wilson_interval,
)


def test_the_temperature_of_overconfident_scores_is_found() -> None:
    """Scores that are three times as large as labels were drawn with have temperature 3."""
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((20_000, 3)) * 2
    labels = np.array([rng.choice(3, p=row) for row in softmax(scores)])

    assert fit_temperature(3 * scores, labels) == pytest.approx(3, rel=0.05)
    assert expected_calibration_error(softmax(scores), labels) < 0.015
    assert expected_calibration_error(softmax(3 * scores), labels) > 0.1


def test_a_temperature_changes_no_answer_and_no_better_one_is_near() -> None:
    """The fit is a minimum of the loss."""
    rng = np.random.default_rng(1)
    scores = rng.standard_normal((500, 3))
    labels = np.array([rng.choice(3, p=row) for row in softmax(scores)])
    fitted = fit_temperature(scores, labels)

    losses = [log_loss(scores / (fitted * by), labels) for by in (0.95, 1, 1.05)]
    assert losses[1] == min(losses)


def test_the_error_is_the_gap_between_confidence_and_accuracy() -> None:
    """Ten answers given with 80 %, six of them right: 0.2."""
    probabilities = np.tile([0.8, 0.1, 0.1], (10, 1))
    labels = np.array([0] * 6 + [1] * 4)

    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.2)


def test_wilsons_interval_is_the_books() -> None:
    """81 of 263: 0.255 to 0.366 (Newcombe 1998, table I, method 3)."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-4)
