"""What came of forecasts: indicators after an origin, from packed samples. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forecaster import Outcome
from services.forecasting.rows.translate import SAMPLE, IndicatorKey, Samples


@dataclass(frozen=True, slots=True, eq=False)
class LoadOutcomes:
    """B indicators around an origin.

    Attributes:
        outcome: Their steps after it, zero where unobserved.
        last: `(B,)` value last observed in the steps read up to it; NaN: none.
    """

    outcome: Outcome
    last: npt.NDArray[np.float32]


def load_outcomes(samples: Samples, keys: Sequence[IndicatorKey], horizon: int) -> LoadOutcomes:
    """Indicators over `horizon` steps after the origin that samples are counted from."""
    actual = np.zeros((len(keys), horizon), dtype=np.float32)
    observed = np.zeros(actual.shape, dtype=bool)
    last = np.full(len(keys), np.nan, dtype=np.float32)
    for i, key in enumerate(keys):
        packed = samples.get(key)
        if not packed:
            continue
        records = np.frombuffer(packed, dtype=SAMPLE)
        steps = records["offset"].astype(np.int64)
        ahead, before = steps > 0, steps <= 0
        actual[i, steps[ahead] - 1] = records["value"][ahead]
        observed[i, steps[ahead] - 1] = True
        if before.any():
            last[i] = records["value"][before][-1]
    return LoadOutcomes(Outcome(actual, observed), last)
