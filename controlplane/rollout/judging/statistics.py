"""Sequential tests that may be looked at after every request: e-processes, as logarithms. Pure.

An e-process is a number that starts at 1 and, as long as the null hypothesis is true, exceeds
1/alpha at any time with probability alpha at most (Ville's inequality). So it may be looked at
every few seconds, and stopped on, without a false-alarm rate that grows with the looks.

- The mixture over alternatives is Robbins' (Ann. Math. Statist. 41, 1970); as always-valid
  inference for A/B tests, Johari, Pekelis, Walsh: arXiv:1512.04922.
- Counting each error as a coin that falls on the canary with the canary's share of the requests is
  Lindon, Sanden, Shirikian: Rapid Regression Detection in Software Deployments, arXiv:2205.14762,
  and Lindon, Malek: Anytime-Valid Inference for Multinomial Count Data, arXiv:2011.03567.
- The mean of e-processes is one: Vovk, Wang: E-values, arXiv:1912.06116.

All functions take arrays of any shape that broadcast: the simulation judges thousands of rollouts
by the code that judges one.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import betaincc, betaln, logsumexp  # type: ignore[import-untyped]  # no types

Numbers = npt.NDArray[np.float64]
Counts = npt.ArrayLike


def log_evidence(hits: Counts, misses: Counts, limit: Counts) -> Numbers:
    """Evidence that coins fall on heads more often than `limit`, as the logarithm of an e-process.

    The likelihood ratio against `limit`, averaged over a beta prior of the chances above it. The
    prior, Beta(1, limit^-1/2), is centred between the limit and one: near enough to find small
    excesses, and wide enough for a version that fails always.

    Args:
        hits: Coins that fell on heads, at least 0.
        misses: Those that did not.
        limit: The highest innocent chance, 0 < limit < 1; others give no evidence.

    Returns:
        Natural logarithms; log(1/alpha) is an alarm at the level alpha.
    """
    k, m, p = (np.asarray(one, np.float64) for one in (hits, misses, limit))
    valid = (p > 0) & (p < 1)
    p = np.where(valid, p, 0.5)
    tail = 1 / np.sqrt(p)
    with np.errstate(divide="ignore"):  # log 0: the counts are far below the limit
        posterior = betaln(k + 1, m + tail) + np.log(betaincc(k + 1, m + tail, p))
        prior = betaln(1, tail) + np.log(betaincc(1, tail, p))
    found = posterior - prior - k * np.log(p) - m * np.log1p(-p)
    return np.where(valid, found, 0.0)


def log_excess(
    canary: Counts, stable: Counts, canary_requests: Counts, stable_requests: Counts, ratio: float
) -> Numbers:
    """Evidence that an event is more than `ratio` times as frequent in the canary as in stable.

    The gateway gives each request to the canary by chance. So if both versions were the same, an
    event would fall on the canary with the canary's share of the requests, whatever the events'
    rate is and however it moves with the time of day.

    Args:
        canary: Events among the canary's requests.
        stable: Events among stable's.
        canary_requests: Requests of the canary in the same time.
        stable_requests: Stable's.
        ratio: What is innocent still; 1 is equality.
    """
    n, others = np.asarray(canary_requests, np.float64), np.asarray(stable_requests, np.float64)
    with np.errstate(invalid="ignore"):  # nothing was asked: no share, and no evidence
        chance = ratio * n / (ratio * n + others)
    return log_evidence(canary, stable, np.nan_to_num(chance))


def log_shift(
    canary: npt.NDArray[Any], stable: npt.NDArray[Any], ratio: float, *, both_ways: bool
) -> Numbers:
    """Evidence that any of several shares differs by more than `ratio`, over the last axis.

    The mean of one e-process a share and direction, which costs the logarithm of their number.

    Args:
        canary: (…, shares + 1) counts, the last of which is the total.
        stable: The same of stable.
        ratio: What is innocent still.
        both_ways: Whether a share that fell counts too.
    """
    n, others = canary[..., -1:], stable[..., -1:]
    parts = [log_excess(canary[..., :-1], stable[..., :-1], n, others, ratio)]
    if both_ways:
        parts.append(log_excess(stable[..., :-1], canary[..., :-1], others, n, ratio))
    every = np.concatenate(parts, axis=-1)
    if every.shape[-1] == 0:
        return np.zeros(every.shape[:-1])
    return np.asarray(logsumexp(every, axis=-1) - np.log(every.shape[-1]), np.float64)
