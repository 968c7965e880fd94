"""Draws in as few bits as they are worth, since every decision stores those that it used; pure.

Eleven significant bits are off by a two-thousandth at most, where draws differ by percents. They
then fit half precision, in which the inputs of a decision hold what fits it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from decider import FloatArray, MissDraws

_PARTS = 2.0**11
_LEAST_FLOOR = 2.0**-24


def few_bits(draws: FloatArray) -> FloatArray:
    """(..., P) draws in eleven significant bits; where all are equal they stay as they are.

    What is known for certain, because it was stated so, is not touched.
    """
    fraction, exponent = np.frexp(draws)
    rounded = np.ldexp(np.rint(fraction * _PARTS) / _PARTS, exponent)
    is_spread = np.ptp(draws, axis=-1, keepdims=True) > 0
    return np.asarray(np.where(is_spread, rounded, draws))


def response_in_few_bits(response: MissDraws | None) -> MissDraws | None:
    """A response with draws in eleven significant bits; None: there is none."""
    if response is None:
        return None
    floor = np.rint(few_bits(response.floor) / _LEAST_FLOOR) * _LEAST_FLOOR  # a share, not a ratio
    return replace(
        response,
        capacity=few_bits(response.capacity),
        slope=few_bits(response.slope),
        floor=np.minimum(floor, 1.0 - 1.0 / _PARTS),
        concentration=few_bits(response.concentration),
        sharing=few_bits(response.sharing),
        further=few_bits(response.further.T).T,
    )
