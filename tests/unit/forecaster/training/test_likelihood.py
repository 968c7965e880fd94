from __future__ import annotations

import numpy as np
import torch

from forecaster.config import QUANTILE_LEVELS
from forecaster.quantiles import pit_and_log_density
from forecaster.training.likelihood import log_density

LEVELS = np.array(QUANTILE_LEVELS)


def increasing(seed: int, n_rows: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.uniform(0.05, 1.0, (n_rows, LEVELS.size)), axis=1)


def test_it_is_the_density_that_the_forecaster_reports() -> None:
    q = increasing(0, 400)
    y = np.random.default_rng(1).uniform(q[:, 0] - 3, q[:, -1] + 3).astype(np.float32)
    _, expected = pit_and_log_density(q[:, :, None].astype("f4"), LEVELS, y[:, None])
    found = log_density(torch.from_numpy(q), LEVELS, torch.from_numpy(y.astype("f8")))
    np.testing.assert_allclose(found.numpy(), expected[:, 0], rtol=1e-4, atol=1e-4)


def test_the_density_integrates_to_one() -> None:
    q = torch.from_numpy(increasing(2, 1))
    grid = torch.linspace(float(q[0, 0]) - 40, float(q[0, -1]) + 40, 400_001, dtype=torch.float64)
    density = log_density(q.expand(grid.numel(), -1), LEVELS, grid).exp()
    assert abs(float(torch.trapezoid(density, grid)) - 1) < 1e-3


def test_the_gradient_points_to_the_outcome() -> None:
    q = torch.from_numpy(increasing(3, 1)).requires_grad_()
    above = q[:, -1].detach() + 5
    torch.autograd.backward(-log_density(q, LEVELS, above).sum())
    assert q.grad is not None
    assert float(q.grad[0, -1]) < 0
