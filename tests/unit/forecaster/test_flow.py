"""Laws of the flow copula: inverse, log-determinant, normalisation, dependence on its context."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forecaster.config import ModelConfig
from forecaster.flow import FlowCopula


def make_flow(horizon: int, seed: int = 0, *, stirred: bool = True) -> FlowCopula:
    config = ModelConfig(width=8, heads=2, flow_hidden=8, flow_bins=4, flow_context=4)
    generator = torch.Generator().manual_seed(seed)
    flow = FlowCopula(horizon, config, generator)
    if stirred:
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.add_(0.4 * torch.randn(parameter.shape, generator=generator))
        mix = torch.randn(horizon, horizon, generator=generator)
        covariance = mix @ mix.T + torch.eye(horizon)
        scale = torch.diagonal(covariance).sqrt()
        flow.set_correlation(covariance / scale[:, None] / scale)
    return flow


@settings(max_examples=15, deadline=None)
@given(horizon=st.integers(1, 9), seed=st.integers(0, 1000))
def test_inverse_undoes_forward(horizon: int, seed: int) -> None:
    flow = make_flow(horizon, seed).double()
    generator = torch.Generator().manual_seed(seed + 1)
    z = 1.5 * torch.randn(20, horizon, generator=generator, dtype=torch.float64)
    encoding = torch.randn(20, 8, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        noise, _ = flow.forward_transform(z, encoding)
        assert torch.allclose(flow.inverse_transform(noise, encoding), z, atol=1e-6)


def test_log_determinant_is_autograds() -> None:
    flow = make_flow(5).double()
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    encoding = torch.randn(6, 8, generator=generator, dtype=torch.float64)
    log_det = flow.forward_transform(z, encoding)[1].detach()
    for row in range(6):
        jacobian = torch.autograd.functional.jacobian(
            lambda x, row=row: flow.forward_transform(x[None], encoding[row : row + 1])[0][0],
            z[row],
        )
        expected = torch.linalg.slogdet(jacobian).logabsdet
        assert float(log_det[row]) == pytest.approx(float(expected), abs=1e-8)


def test_the_density_integrates_to_one() -> None:
    flow = make_flow(2)
    axis = torch.linspace(-9, 9, 301)
    grid = torch.cartesian_prod(axis, axis)
    encoding = torch.full((1, 8), 0.3).expand(len(grid), -1)
    with torch.no_grad():
        total = flow.log_prob(grid, encoding).exp().sum() * float(axis[1] - axis[0]) ** 2
    assert float(total) == pytest.approx(1.0, abs=0.01)


def test_samples_have_the_density() -> None:
    """Mean of exp(log q - log p) over samples of p is 1 for any density q: here a wide normal."""
    flow = make_flow(3)
    noise = torch.randn(1, 40_000, 3, generator=torch.Generator().manual_seed(1))
    encoding = torch.zeros(1, 8)
    with torch.no_grad():
        samples = flow.sample(noise, encoding)[0]
        log_p = flow.log_prob(samples, encoding.expand(len(samples), -1))
        log_q = -0.5 * (samples**2).sum(1) - 1.5 * math.log(2 * math.pi)
    assert float((log_q - log_p).exp().mean()) == pytest.approx(1.0, abs=0.1)


def test_an_untrained_flow_is_the_gaussian_copula() -> None:
    flow = make_flow(4, stirred=False)
    correlation = torch.full((4, 4), 0.6) + 0.4 * torch.eye(4)
    flow.set_correlation(correlation)
    z = torch.randn(50, 4, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        found = flow.log_prob(z, torch.randn(50, 8, generator=torch.Generator().manual_seed(4)))
    normal = torch.distributions.MultivariateNormal(torch.zeros(4), correlation)
    assert torch.allclose(found, normal.log_prob(z), atol=1e-4)


def test_the_context_matters_and_noise_is_the_callers() -> None:
    flow = make_flow(4)
    noise = torch.randn(2, 10, 4, generator=torch.Generator().manual_seed(0))
    noise[1] = noise[0]
    encoding = torch.stack([torch.zeros(8), torch.ones(8)])
    with torch.no_grad():
        state = torch.random.get_rng_state()
        first, again = flow.sample(noise, encoding), flow.sample(noise, encoding)
        assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.allclose(first[0], first[1])


def test_one_step_ahead_needs_no_copula() -> None:
    flow = make_flow(1, stirred=False)
    z = torch.linspace(-2, 2, 5)[:, None]
    with torch.no_grad():
        assert np.allclose(flow.log_copula(z, torch.zeros(5, 8)), 0, atol=1e-6)
