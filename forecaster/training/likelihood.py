"""The negative log likelihood of the marginals as a training loss.

The alternative to the CRPS quadrature of `PinballLoss`, kept for the ablation: the density is that
of `forecaster.quantiles` (linear between the levels, exponential tails), here differentiable.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from forecaster.dataset import Examples
from forecaster.quantiles import tail_rates
from forecaster.types import F64

MIN_GAP = 1e-4
"""Smallest gap between quantiles counted, in the window's scale: bounds the density of a spike."""


def log_density(quantiles: Tensor, levels: F64, actual: Tensor) -> Tensor:
    """Log density of `actual` under quantile functions.

    Args:
        quantiles: `(..., Q)` strictly increasing.
        levels: `(Q,)`.
        actual: `(...)`.

    Returns:
        `(...)`, per unit of the quantiles.
    """
    tau = torch.from_numpy(levels).to(quantiles)
    y = actual[..., None]
    right = (quantiles <= y).sum(dim=-1, keepdim=True).clamp(1, levels.size - 1)
    gap = quantiles.gather(-1, right) - quantiles.gather(-1, right - 1)
    inside = torch.log(tau[right] - tau[right - 1]) - torch.log(gap.clamp(min=MIN_GAP))
    low, low_factor, high, high_factor = tail_rates(levels)
    below_rate = ((quantiles[..., low] - quantiles[..., 0]) * low_factor).clamp(min=MIN_GAP)
    above_rate = ((quantiles[..., -1] - quantiles[..., high]) * high_factor).clamp(min=MIN_GAP)
    below = math.log(levels[0]) - torch.log(below_rate) - (quantiles[..., 0] - actual) / below_rate
    above = (
        math.log(1 - levels[-1])
        - torch.log(above_rate)
        - (actual - quantiles[..., -1]) / above_rate
    )
    result = torch.where(actual < quantiles[..., 0], below, inside[..., 0])
    return torch.where(actual > quantiles[..., -1], above, result)


class LikelihoodLoss:
    """Mean negative log density of the observed targets, nats per step."""

    def __init__(self, levels: F64) -> None:
        """Prepare.

        Args:
            levels: `(Q,)`.
        """
        self.levels = levels

    def __call__(self, quantiles: Tensor, batch: Examples) -> Tensor:
        """Loss of normalised quantiles `(B, G, H, Q)`; every observed step weighs the same."""
        density = log_density(quantiles, self.levels, batch.actual)
        seen = batch.weight > 0
        return -(density * seen).sum() / seen.sum().clamp(min=1)
