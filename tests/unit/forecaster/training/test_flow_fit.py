"""Fitting the flow: it finds known dependence, falls back to the Gaussian copula, takes masks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

from forecaster.config import ModelConfig
from forecaster.errors import TrainingDiverged
from forecaster.network.flow import FlowCopula, Scores
from forecaster.training.flow_fit import RATE, correlation_of, fit_flow, flow_rate

N_ROWS = 3000


def make_flow(horizon: int = 3, n_targets: int = 1, layers: int = 2) -> FlowCopula:
    config = ModelConfig(width=8, heads=2, flow_layers=layers, flow_hidden=16, flow_context=8)
    return FlowCopula(horizon, config, torch.Generator().manual_seed(0), n_targets)


def draw(seed: int, n_steps: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.eye(n_steps) + 0.6 * torch.ones(n_steps, n_steps).tril(-1)
    z = torch.randn(N_ROWS, n_steps, generator=generator) @ mix.T
    return z / mix.norm(dim=1), torch.randn(N_ROWS, 8, generator=generator)


def split(z: torch.Tensor, encoding: torch.Tensor) -> tuple[Scores, Scores]:
    half = N_ROWS // 2
    return Scores(z[:half], encoding[:half]), Scores(z[half:], encoding[half:])


def run(flow: FlowCopula, train: Scores, held: Scores, n_epochs: int = 6) -> tuple[float, float]:
    gain = fit_flow(flow, train, held, n_epochs, torch.Generator().manual_seed(1))
    return gain.gaussian, gain.fitted


def test_dependence_by_the_state_is_found() -> None:
    """The correlation's sign is the sign of the first entry of the encoding."""
    z, encoding = draw(0)
    z[:, 1:] *= torch.sign(encoding[:, :1])
    gaussian, fitted = run(make_flow(), *split(z, encoding), n_epochs=25)
    assert fitted > gaussian + 0.03


def test_a_common_scale_is_found() -> None:
    z, encoding = draw(0)
    scale = torch.exp(0.8 * torch.randn(N_ROWS, 1, generator=torch.Generator().manual_seed(5)))
    flow = make_flow()
    gaussian, fitted = run(flow, *split(z * scale, encoding))
    assert fitted > gaussian + 0.2
    assert float(flow.log_scale.detach().max() - flow.log_scale.detach().min()) > 0.5


def test_gaussian_scores_leave_the_flow_at_least_as_good_as_the_gaussian_copula() -> None:
    gaussian, fitted = run(make_flow(), *split(*draw(0)))
    assert gaussian <= fitted < gaussian + 0.02


@pytest.mark.parametrize("layers", [0, 2])
def test_no_epochs_or_no_layers_is_the_gaussian_copula(layers: int) -> None:
    train, held = split(*draw(0))
    flow = make_flow(layers=layers)
    gaussian, fitted = run(flow, train, held, n_epochs=0 if layers else 5)
    assert gaussian == fitted
    assert torch.allclose(flow.cholesky @ flow.cholesky.T, correlation_of(train.z), atol=1e-5)


def test_absent_targets_do_not_matter() -> None:
    """What stands in the place of an absent target changes nothing of the fit."""
    z, encoding = draw(0, 4)
    present = torch.ones(N_ROWS, 2, dtype=torch.bool)
    present[::3, 1] = False
    other = z.clone()
    other[::3, 2:] = -2.0
    half = N_ROWS // 2
    found = []
    for each in (z, other):
        flow = make_flow(2, 2)
        parts = [Scores(each[s], encoding[s], present[s]) for s in (slice(half), slice(half, None))]
        found.append((run(flow, *parts, n_epochs=2), flow.state_dict()))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-4)
    assert all(torch.allclose(a, found[1][1][k], atol=1e-4) for k, a in found[0][1].items())


def test_same_generator_same_bytes() -> None:
    train, held = split(*draw(0))
    flows = [make_flow(), make_flow()]
    for flow in flows:
        run(flow, train, held, n_epochs=2)
    assert all(torch.equal(a, flows[1].state_dict()[k]) for k, a in flows[0].state_dict().items())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_correlation_from_different_windows_is_positive_definite(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(30, 8, generator=generator)
    present = torch.rand(30, 4, generator=generator) < 0.6
    found = correlation_of(z, present)
    assert torch.equal(torch.diagonal(found), torch.ones(8))
    assert float(torch.linalg.eigvalsh(found).min()) > 0


def test_correlation_is_that_of_numpy_but_for_the_shrinkage() -> None:
    z, _ = draw(0)
    found = correlation_of(z)
    assert torch.allclose(
        found - torch.eye(3), 0.98 * (torch.corrcoef(z.T) - torch.eye(3)), atol=1e-4
    )


def test_a_constant_or_never_present_score_has_no_correlation() -> None:
    z, _ = draw(0)
    z[:, 1] = 0.0
    assert torch.equal(correlation_of(z)[1], torch.tensor([0.0, 1.0, 0.0]))


def test_the_rate_falls_from_its_peak() -> None:
    assert flow_rate(0, 100) == RATE
    assert flow_rate(100, 100) == pytest.approx(0.02 * RATE)


def test_a_loss_that_is_not_finite_is_named() -> None:
    train, held = split(*draw(0))
    train.encoding[:] = float("nan")
    with pytest.raises(TrainingDiverged, match="epoch 1"):
        run(make_flow(), train, held)
