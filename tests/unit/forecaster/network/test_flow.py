"""Laws of the flow copula: inverse, log-determinant, normalisation, absent targets, its context."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from forecaster.config import ModelConfig
from forecaster.network.flow import FlowCopula


def make_flow(
    horizon: int, seed: int = 0, *, n_targets: int = 1, layers: int = 2, stirred: bool = True
) -> FlowCopula:
    config = ModelConfig(width=8, heads=2, flow_layers=layers, flow_hidden=8, flow_context=4)
    generator = torch.Generator().manual_seed(seed)
    flow = FlowCopula(horizon, config, generator, n_targets)
    if stirred:
        flow.spread_scales()
        with torch.no_grad():
            for parameter in flow.parameters():
                if parameter is not flow.log_scale:
                    parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
        mix = torch.randn(flow.n_dimensions, flow.n_dimensions, generator=generator)
        covariance = mix @ mix.T + torch.eye(flow.n_dimensions)
        scale = torch.diagonal(covariance).sqrt()
        flow.set_correlation(covariance / scale[:, None] / scale)
    return flow


def normals(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def uniforms(*shape: int, seed: int = 2) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=10, deadline=None)
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


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), bits=st.integers(1, 6))
def test_inverse_undoes_forward_on_present_targets(seed: int, bits: int) -> None:
    flow = make_flow(3, seed, n_targets=3).double()
    present = torch.tensor([[bool(bits >> g & 1) for g in range(3)], [True, True, True]])
    seen = present.repeat_interleave(3, dim=1)
    z = normals(2, 9, seed=seed, dtype=torch.float64)
    encoding = normals(2, 8, seed=seed + 1, dtype=torch.float64)
    with torch.no_grad():
        noise, _ = flow.forward_transform(z, encoding, present)
        again = flow.inverse_transform(noise, encoding, present)
    assert torch.allclose(again[seen], z[seen], atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_density_integrates_to_one(seed: int) -> None:
    flow = make_flow(2, seed)
    assert integral(flow, None) == pytest.approx(1.0, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("layers", [0, 3])
def test_the_density_of_the_present_targets_integrates_to_one(layers: int) -> None:
    flow = make_flow(2, n_targets=2, layers=layers)
    for present in ([True, False], [False, True]):
        assert integral(flow, torch.tensor([present])) == pytest.approx(1.0, abs=0.01)


def integral(flow: FlowCopula, present: torch.Tensor | None) -> float:
    """Of the density over the two dimensions that are present."""
    axis = torch.linspace(-28, 28, 401)
    grid = torch.cartesian_prod(axis, axis)
    z = torch.full((len(grid), flow.n_dimensions), 0.7)
    seen = torch.ones(1, flow.n_targets, dtype=torch.bool) if present is None else present
    z[:, seen.repeat_interleave(flow.horizon, dim=1)[0]] = grid
    encoding = torch.full((1, 8), 0.3).expand(len(grid), -1)
    rows = None if present is None else present.expand(len(grid), -1)
    with torch.no_grad():
        total = flow.log_prob(z, encoding, rows).double().exp().sum()
    return float(total) * float(axis[1] - axis[0]) ** 2


def test_absent_targets_are_never_read() -> None:
    flow = make_flow(2, n_targets=2)
    present = torch.tensor([[True, False]] * 5)
    z, encoding = normals(5, 4), normals(5, 8, seed=3)
    other = z.clone()
    other[:, 2:] = 3.0
    with torch.no_grad():
        assert torch.equal(
            flow.log_prob(z, encoding, present), flow.log_prob(other, encoding, present)
        )
        noise, u = normals(5, 7, 4, seed=4), uniforms(5, 7)
        changed = noise.clone()
        changed[..., 2:] = -1.0
        first = flow.sample(noise, u, encoding, present)[..., :2]
        assert torch.equal(first, flow.sample(changed, u, encoding, present)[..., :2])


def test_without_couplings_absent_targets_are_marginalised_exactly() -> None:
    """The density of two of four dimensions is the integral over the other two."""
    flow = make_flow(2, n_targets=2, layers=0)
    encoding = normals(1, 8)
    z = torch.tensor([0.4, -0.9])
    axis = torch.linspace(-9, 9, 181)
    grid = torch.cartesian_prod(axis, axis)
    whole = torch.cat([z.expand(len(grid), -1), grid], dim=1)
    with torch.no_grad():
        density = flow.log_prob(whole, encoding.expand(len(grid), -1)).double().exp()
        total = float(density.sum()) * float(axis[1] - axis[0]) ** 2
        alone = flow.log_prob(whole[:1], encoding, torch.tensor([[True, False]]))
    assert math.log(total) == pytest.approx(float(alone), abs=1e-3)


def test_a_full_mask_is_no_mask() -> None:
    flow = make_flow(3, n_targets=2)
    z, encoding = normals(6, 6), normals(6, 8, seed=3)
    mixed = torch.ones(7, 2, dtype=torch.bool)
    mixed[6, 1] = False
    rows = torch.cat([z, z[:1]]), torch.cat([encoding, encoding[:1]])
    with torch.no_grad():
        masked = flow.log_prob(*rows, mixed)[:6]
        assert torch.allclose(masked, flow.log_prob(z, encoding), atol=1e-4)


def test_samples_have_the_density() -> None:
    """Mean of exp(log q - log p) over samples of p is 1 for any density q: here a normal."""
    flow = make_flow(3)
    encoding = torch.zeros(1, 8)
    with torch.no_grad():
        samples = flow.sample(normals(1, 40_000, 3), uniforms(1, 40_000), encoding)[0]
        log_p = flow.log_prob(samples, encoding.expand(len(samples), -1))
        log_q = -0.5 * (samples**2).sum(1) - 1.5 * math.log(2 * math.pi)
    assert float((log_q - log_p).exp().mean()) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("layers", [0, 3])
def test_an_untrained_flow_is_the_gaussian_copula(layers: int) -> None:
    flow = make_flow(2, n_targets=2, layers=layers, stirred=False)
    correlation = torch.full((4, 4), 0.6) + 0.4 * torch.eye(4)
    flow.set_correlation(correlation)
    z, encoding = normals(50, 4, seed=3), normals(50, 8, seed=4)
    normal = torch.distributions.MultivariateNormal(torch.zeros(4), correlation)
    part = torch.distributions.MultivariateNormal(torch.zeros(2), correlation[:2, :2])
    present = torch.tensor([[True, False]]).expand(50, -1)
    with torch.no_grad():
        assert torch.allclose(flow.log_prob(z, encoding), normal.log_prob(z), atol=1e-4)
        found = flow.log_prob(z, encoding, present)
    assert torch.allclose(found, part.log_prob(z[:, :2]), atol=1e-4)


def test_scales_apart_make_extremes_occur_together() -> None:
    """Uncorrelated steps of one common scale: the dependence of a Student copula."""
    flow = make_flow(2, stirred=False)
    noise, u = normals(1, 100_000, 2), uniforms(1, 100_000)
    with torch.no_grad():
        before = joint_exceedance(flow.sample(noise, u, torch.zeros(1, 8))[0])
        flow.spread_scales()
        after = joint_exceedance(flow.sample(noise, u, torch.zeros(1, 8))[0])
    assert before == pytest.approx(0.01, abs=0.005)
    assert after > 2 * before


def joint_exceedance(z: torch.Tensor) -> float:
    """Chance that both steps are in their upper 1 %, given that the first is."""
    high = z > z.quantile(0.99, dim=0)
    return float((high[:, 0] & high[:, 1]).sum() / high[:, 0].sum())


def test_the_context_matters_and_noise_is_the_callers() -> None:
    flow = make_flow(4)
    noise, u = normals(1, 10, 4).expand(2, -1, -1), uniforms(1, 10).expand(2, -1)
    encoding = torch.stack([torch.zeros(8), torch.ones(8)])
    with torch.no_grad():
        state = torch.random.get_rng_state()
        first, again = flow.sample(noise, u, encoding), flow.sample(noise, u, encoding)
        assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.allclose(first[0], first[1])


def test_paths_do_not_depend_on_the_rows_beside_them() -> None:
    flow = make_flow(4)
    noise, u, encoding = normals(3, 10, 4), uniforms(3, 10), normals(3, 8, seed=5)
    with torch.no_grad():
        whole = flow.sample(noise, u, encoding)
        alone = flow.sample(noise[1:2], u[1:2], encoding[1:2])
    assert torch.allclose(whole[1:2], alone, atol=1e-5)


def test_one_step_ahead_needs_no_copula() -> None:
    flow = make_flow(1, stirred=False)
    z = torch.linspace(-2, 2, 5)[:, None]
    with torch.no_grad():
        assert np.allclose(flow.log_copula(z, torch.zeros(5, 8)), 0, atol=1e-6)
