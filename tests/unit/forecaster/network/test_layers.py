"""Layers: their start comes from the generator passed, and dropout keeps the mean."""

from __future__ import annotations

import math

import torch

from forecaster.network.layers import Dropout, Perceptron, embedding, linear


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_start_depends_on_the_generator_passed_and_on_no_other() -> None:
    torch.manual_seed(1)
    one = linear(8, 4, seeded())
    torch.manual_seed(2)
    same, other = linear(8, 4, seeded()), linear(8, 4, seeded(3))
    assert torch.equal(one.weight, same.weight)
    assert not torch.equal(one.weight, other.weight)
    assert (one.bias == 0).all()


def test_weights_are_uniform_with_the_stated_variance() -> None:
    weight = linear(300, 300, seeded(), gain=1.7).weight.detach()
    assert weight.abs().max() <= 1.7 / math.sqrt(300)
    assert abs(float(weight.var()) * 3 * 300 / 1.7**2 - 1) < 0.02


def test_the_unknown_row_of_an_embedding_starts_at_zero_and_is_trained() -> None:
    table = embedding(5, 3, seeded())
    assert (table.weight[0] == 0).all()
    assert (table.weight[1:] != 0).all()
    assert table.weight.requires_grad


def test_dropout_leaves_out_a_share_and_keeps_the_mean() -> None:
    x = torch.ones(40_000)
    kept = Dropout(0.25, seeded())(x)
    assert set(kept.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.75))}
    assert abs(float(kept.mean()) - 1) < 0.02
    assert Dropout(0.0, seeded())(x) is x


def test_a_perceptron_maps_the_last_axis_and_drops_hidden_units_only_when_asked() -> None:
    net = Perceptron(4, 64, 2, seeded())
    x = torch.ones(3, 5, 4)
    assert net(x).shape == (3, 5, 2)
    assert torch.equal(net(x), net(x))
    assert not torch.equal(net(x), net(x, Dropout(0.5, seeded())))
