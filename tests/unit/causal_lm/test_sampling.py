"""Drawing tokens: what each setting leaves to chance."""

import random
from typing import Any

import numpy as np

from predictors.causal_lm.sampling import Sampler, choose

LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
DRAWS = 4000


def shares(**settings: float) -> list[float]:
    """How often each token is drawn."""
    given: dict[str, Any] = {"temperature": 1.0, **settings}
    sampler = Sampler(generator=random.Random(3), **given)
    drawn = [sampler.draw(LOGITS) for _ in range(DRAWS)]
    return [drawn.count(token) / DRAWS for token in range(4)]


def test_tokens_come_as_often_as_the_model_says() -> None:
    """Within four standard deviations."""
    assert np.allclose(shares(), [0.5, 0.3, 0.15, 0.05], atol=4 * 0.5 / DRAWS**0.5)


def test_top_k_and_top_p_leave_the_likeliest() -> None:
    """Top-p keeps the fewest that reach it."""
    assert shares(top_k=2)[2:] == [0, 0]
    assert shares(top_p=0.6)[2:] == [0, 0]
    assert shares(top_p=0.5)[1:] == [0, 0, 0]
    assert shares(top_p=0.0)[1:] == [0, 0, 0]
    assert shares(top_p=0.96)[3] > 0


def test_low_temperature_is_greedy_and_zero_always() -> None:
    """Without overflow."""
    assert shares(temperature=1e-6)[0] == 1
    assert shares(temperature=5e-324)[0] == 1
    low = Sampler(5e-324, generator=random.Random(3))
    assert {low.draw(LOGITS[::-1] + 5) for _ in range(50)} == {3}
    assert choose(np.stack([LOGITS, LOGITS[::-1]]), [Sampler(), Sampler()]) == [0, 3]
