"""Requests served by a response: means, scatter, luck, and which steps are good ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.simulator.served import ServedTruth

W, T = 2, 400


@pytest.fixture
def served() -> ServedTruth:
    return ServedTruth(
        slope=np.array([8.0, 20.0]),
        floor=np.array([0.01, 0.0]),
        concentration=np.array([60.0, 400.0]),
        requests=np.full((W, T), 500.0),
        good_share=0.95,
        luck=np.random.default_rng(1).uniform(1e-6, 1 - 1e-6, (W, T)),
    )


def test_the_stated_load_misses_what_is_tolerated(served: ServedTruth) -> None:
    clean = replace(served, floor=np.zeros(W))
    capacity = np.array([0.85, 2.0])
    mean = clean.mean(capacity, clean.half(capacity), np.arange(W))
    assert mean == pytest.approx(0.05)


def test_the_mean_rises_from_the_floor_to_everything(served: ServedTruth) -> None:
    load = np.concatenate([[0.0], np.geomspace(0.01, 100.0, 50), [np.inf]])
    mean = served.mean(load, np.ones(52), np.zeros(52, dtype=np.int64))
    assert (np.diff(mean) >= 0).all()
    assert (mean[0], mean[-1]) == pytest.approx((0.01, 1.0))


def test_a_share_scatters_around_its_mean(served: ServedTruth) -> None:
    shares = np.array([served.share(np.full((1, W), 0.1), t)[0] for t in range(T)])
    assert shares.mean(axis=0) == pytest.approx([0.1, 0.1], abs=0.01)
    spread = np.sqrt(0.09 * (1 / 61 + 60 / 61 / 500))
    assert shares[:, 0].std() == pytest.approx(spread, rel=0.15)


def test_a_step_is_good_up_to_its_largest_good_mean(served: ServedTruth) -> None:
    limit = served.largest_good_mean()
    for t in range(0, T, 40):
        assert (served.share(limit[None, :, t] * 0.999, t) <= served.tolerated + 1e-9).all()
        assert (served.share(limit[None, :, t] * 1.001, t) >= served.tolerated - 1e-9).all()


def test_few_requests_scatter_more(served: ServedTruth) -> None:
    few = replace(served, requests=np.full((W, T), 10.0))
    assert (few.precision() < served.precision()).all()
