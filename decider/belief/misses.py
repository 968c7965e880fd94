"""From a response to what of a load is out of the promise.

A promise of requests counts the share that misses. A promise of time counts bad steps: those of
which a larger share misses than the objective allows. The share of one step scatters:

    share missed ~ Beta(m * phi, (1 - m) * phi),   m = what can be cured at the step's load

phi is the response's concentration, lowered by the chance that a step of n requests holds:
`1 / (phi' + 1) = 1 / (phi + 1) + phi / (phi + 1) / n`. The floor is what no number of replicas
cures: it counts in neither.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import betaincc, expit, logit, ndtri

from decider.errors import require
from decider.miss_draws import MissDraws
from decider.types import FloatArray, Sla

__all__ = [
    "MissDraws",
    "allowed_share",
    "bad_probability",
    "effective_concentration",
    "equivalent_capacity",
]

LEAST_CONCENTRATION, MOST_CONCENTRATION = 1e-3, 1e10
MOST_LOG_ODDS = 60.0
MOST_QUANTILE = 8.0
N_CONCENTRATIONS = 768
N_SECANTS = 6
_LOG_CONCENTRATIONS = np.linspace(
    np.log(LEAST_CONCENTRATION), np.log(MOST_CONCENTRATION), N_CONCENTRATIONS
)


def effective_concentration(
    concentration: FloatArray, requests_per_step: float = np.inf
) -> FloatArray:
    """(...) concentration of a step's share, the chance of `requests_per_step` > 0 included."""
    require(requests_per_step > 0, f"requests_per_step={requests_per_step} must be > 0")
    share = 1.0 / max(requests_per_step, 1.0)
    total = concentration * (1.0 - share) / (1.0 + concentration * share)
    return np.asarray(np.clip(total, LEAST_CONCENTRATION, MOST_CONCENTRATION))


def bad_probability(
    log_odds: FloatArray, concentration: FloatArray, tolerance: float
) -> FloatArray:
    """(...) probability that more than `tolerance` of a step's requests miss.

    Args:
        log_odds: (...) log odds of the expected share; may be infinite.
        concentration: (...) effective concentration, broadcast against `log_odds`.
        tolerance: Share that a good step may miss, in (0, 1).
    """
    clipped = np.clip(log_odds, -MOST_LOG_ODDS, MOST_LOG_ODDS)
    tail = betaincc(concentration * expit(clipped), concentration * expit(-clipped), tolerance)
    return np.asarray(np.where(log_odds == -np.inf, 0.0, tail))


def allowed_share(sla: Sla) -> float:
    """Share of a step's requests that may miss while the step is a good one."""
    require(sla.good_share is not None, "good_share must be given where there is a response")
    return 1.0 - float(sla.good_share or 0.0)


def equivalent_capacity(
    draws: MissDraws, sla: Sla, requests_per_step: float = np.inf
) -> FloatArray:
    """(P,) load per replica whose sharp edge stands for a response: where the promise tips.

    For a promise of requests the load at which the curable share is epsilon; where prices alone
    decide, the share that the objective allows. For a promise of time the load at which a step is
    as often bad as good.

    Args:
        draws: The response.
        sla: The promise, with `good_share`.
        requests_per_step: Requests of a usual step; infinite: chance moves no step's share.
    """
    tolerance = allowed_share(sla)
    if sla.kind == "DemandFraction":
        return draws.load_within(tolerance if sla.epsilon is None else sla.epsilon)
    total = effective_concentration(draws.concentration, requests_per_step)
    return np.asarray(draws.capacity * np.exp(_even_log_odds(total, tolerance) / draws.slope))


def log_odds_width(concentration: FloatArray, tolerance: float) -> FloatArray:
    """(...) log odds over which a step turns from good to bad."""
    return np.asarray((1.0 + concentration * tolerance * (1.0 - tolerance)) ** -0.5)


def _even_log_odds(concentration: FloatArray, tolerance: float) -> FloatArray:
    """(P,) log odds of the expected share at which a step is as often bad as good.

    What a Beta's median says, and from a table how far that is off in widths: a smooth function of
    the concentration.
    """
    off = _off_in_widths(tolerance)(np.log(concentration))
    width = log_odds_width(concentration, tolerance)
    return np.asarray(_median_log_odds(concentration, tolerance) + off * width)


def _median_log_odds(concentration: FloatArray, tolerance: float) -> FloatArray:
    """(...) log odds of the share whose Beta law has its median near the tolerance."""
    median = (tolerance * concentration + 1.0 / 3.0) / (concentration + 2.0 / 3.0)
    return np.asarray(logit(median))


@lru_cache(maxsize=64)
def _off_in_widths(tolerance: float) -> CubicSpline:
    """How far `_median_log_odds` is off at a log concentration, in `log_odds_width`."""
    concentration = np.exp(_LOG_CONCENTRATIONS)
    exact = _searched_log_odds(concentration, tolerance)
    width = log_odds_width(concentration, tolerance)
    off = (exact - _median_log_odds(concentration, tolerance)) / width
    return CubicSpline(_LOG_CONCENTRATIONS, off)


def _searched_log_odds(concentration: FloatArray, tolerance: float) -> FloatArray:
    """`_even_log_odds` by secants on the normal quantile of the probability, nearly straight."""
    first = _median_log_odds(concentration, tolerance)

    def quantile(log_odds: FloatArray) -> FloatArray:
        tail = bad_probability(log_odds, concentration, tolerance)
        return np.asarray(np.clip(ndtri(tail), -MOST_QUANTILE, MOST_QUANTILE))

    before, at = first, first - 0.1 * log_odds_width(concentration, tolerance)
    value_before, value = quantile(before), quantile(at)
    for _ in range(N_SECANTS):
        rise = value - value_before
        move = np.where(rise != 0, value * (at - before) / np.where(rise == 0, 1.0, rise), 0.0)
        before, value_before, at = at, value, at - np.clip(move, -2.0, 2.0)
        value = quantile(at)
    return np.asarray(at)
