"""Parts of the training loop."""

from __future__ import annotations

import copy

import torch

from forecaster.training.loop import (
    WARM_UP_STEPS,
    Average,
    load_optimiser,
    optimiser_tensors,
    rate_factor,
    set_rate,
)


def test_the_rate_warms_up_and_then_falls_to_two_percent() -> None:
    factors = [rate_factor(step, 200) for step in range(200)]
    assert factors[0] == 1 / WARM_UP_STEPS
    assert max(factors) == factors[WARM_UP_STEPS] == 1.0
    assert factors[:WARM_UP_STEPS] == sorted(factors[:WARM_UP_STEPS])
    assert factors[WARM_UP_STEPS:] == sorted(factors[WARM_UP_STEPS:], reverse=True)
    assert 0.02 <= factors[-1] < 0.021
    assert rate_factor(10_000, 200) == rate_factor(WARM_UP_STEPS, 1) * 0.02


def _step(net: torch.nn.Linear, optimiser: torch.optim.Optimizer, rate: float) -> None:
    set_rate(optimiser, rate)
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward((net.weight**2).sum() + net.bias.sum())
    optimiser.step()


def test_an_optimiser_goes_on_from_its_tensors() -> None:
    net = torch.nn.utils.skip_init(torch.nn.Linear, 3, 2)
    with torch.no_grad():
        net.weight.copy_(torch.arange(6.0).view(2, 3))
        net.bias.zero_()
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.01)
    assert optimiser_tensors(optimiser) == {}
    for rate in (0.1, 0.2, 0.3):
        _step(net, optimiser, rate)
    other = copy.deepcopy(net)
    again = torch.optim.AdamW(other.parameters(), lr=0.1, weight_decay=0.01)
    load_optimiser(again, optimiser_tensors(optimiser))
    for rate in (0.2, 0.1):
        _step(net, optimiser, rate)
        _step(other, again, rate)
    assert torch.equal(net.weight, other.weight)
    assert torch.equal(net.bias, other.bias)


def test_an_average_goes_on_from_its_state() -> None:
    net = torch.nn.utils.skip_init(torch.nn.Linear, 2, 1)
    with torch.no_grad():
        net.weight.fill_(1.0)
        net.bias.fill_(0.0)
    average = Average(net, 0.9)
    with torch.no_grad():
        net.weight.fill_(2.0)
    average.update(net)
    assert torch.allclose(average.state()["weight"], torch.tensor(1.9))  # 0.1 x 1 + 0.9 x 2
    other = Average(net, 0.9)
    other.load(average.state(), average.n_updates)
    with torch.no_grad():
        net.weight.fill_(-1.0)
    for one in (average, other):
        one.update(net)
    assert torch.equal(average.state()["weight"], other.state()["weight"])
    with average.applied(net):
        assert torch.equal(net.weight, average.state()["weight"])
    assert (net.weight == -1).all()
