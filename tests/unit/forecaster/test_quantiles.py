"""Quantile functions: density, distribution function and sampling are inverses of each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from forecaster.config import QUANTILE_LEVELS
from forecaster.quantiles import (
    interpolation_matrix,
    masked_quantiles,
    mean_of,
    pit_and_log_density,
    shift_paths,
    with_quantiles,
)
from tests.unit.forecaster.online.records import forecast_of

LEVELS = np.array(QUANTILE_LEVELS)


Q = LEVELS.size


increments = arrays(np.float64, (Q,), elements=st.floats(0.01, 10.0))


@given(increments, st.floats(-100, 100))
def test_pit_inverts_the_quantile_function(steps: np.ndarray, start: float) -> None:
    q = (start + np.cumsum(steps)).astype(np.float32)
    u = np.linspace(0.001, 0.999, 41)
    values = interpolation_matrix(LEVELS, u) @ q
    found, _ = pit_and_log_density(
        np.repeat(q[None, :, None], u.size, axis=0), LEVELS, values[:, None]
    )
    assert np.allclose(found[:, 0], u, atol=2e-4)
    assert (np.diff(values) >= -1e-4).all()


@given(increments)
def test_the_density_integrates_to_one(steps: np.ndarray) -> None:
    q = np.cumsum(steps)
    tail = np.geomspace(1e-6, 40 * (q[-1] - q[0] + 1), 4000)
    # Cells that end at the quantiles: the density jumps there and is smooth within each cell.
    edges = np.concatenate([(q[0] - tail)[::-1], q, q[-1] + tail])
    middle = (edges[1:] + edges[:-1]) / 2
    repeated = np.repeat(q[None, :, None], middle.size, axis=0).astype(np.float32)
    _, log_density = pit_and_log_density(repeated, LEVELS, middle[:, None].astype(np.float32))
    total = float((np.diff(edges) * np.exp(log_density[:, 0])).sum())
    assert total == pytest.approx(1.0, abs=0.01)


@given(
    arrays(np.float32, (3, 20), elements=st.floats(-100, 100, width=32)),
    arrays(np.bool_, (3, 20)),
)
def test_masked_quantiles_are_numpys_on_what_is_observed(
    values: np.ndarray, observed: np.ndarray
) -> None:
    found = masked_quantiles(values, observed, LEVELS)
    for row in range(3):
        if observed[row].any():
            expected = np.quantile(values[row, observed[row]], LEVELS)
            assert np.allclose(found[row], expected, atol=1e-3)
        else:
            assert (found[row] == 0).all()


def test_the_mean_is_the_mean() -> None:
    samples = np.random.default_rng(1).normal(5, 2, 50_000)
    q = np.quantile(samples, LEVELS).reshape(1, -1, 1).astype(np.float32)
    assert mean_of(q, LEVELS)[0, 0] == pytest.approx(5, abs=0.05)


@given(
    arrays(np.float32, (1, 5, 2), elements=st.floats(0, 10, width=32)),
    arrays(np.float32, (1, 5, 2), elements=st.floats(0, 10, width=32)),
    arrays(np.float32, (1, 30, 2), elements=st.floats(-5, 50, width=32)),
)
def test_shifted_paths_keep_their_order_and_carry_quantiles_onto_quantiles(
    a: np.ndarray, b: np.ndarray, paths: np.ndarray
) -> None:
    old, new = np.cumsum(a + 0.1, axis=1), np.cumsum(b, axis=1)
    moved = shift_paths(paths, old, new)
    for h in range(2):
        order = np.argsort(paths[0, :, h], kind="stable")
        assert (np.diff(moved[0, order, h]) >= -1e-3).all()
    assert np.allclose(shift_paths(old, old, new), new, atol=1e-3)


def test_paths_of_a_forecast_that_is_one_value_go_where_its_quantiles_go() -> None:
    """A steady demand: were they to stay together, all would take the lowest quantile."""
    steady = forecast_of(
        np.full((1, Q, 2), 100.0), ["a"], paths=np.full((1, 200, 2), 100.0, dtype=np.float32)
    )
    wide = np.repeat((100 + 40 * (LEVELS - 0.5))[None, :, None], 2, axis=2).astype(np.float32)
    moved = with_quantiles(steady, wide).paths
    for level in (0.05, 0.5, 0.95):
        found = np.quantile(moved, level, axis=1)
        assert np.allclose(found, 100 + 40 * (level - 0.5), atol=0.5)
    assert moved.min() >= wide.min()
    assert moved.max() <= wide.max()
    assert np.array_equal(moved[0, :, 0], moved[0, :, 1]), "one that is high stays so"


def test_paths_of_a_value_that_several_levels_have_are_spread_among_those_alone() -> None:
    own = np.where(LEVELS <= 0.5, 0.0, 10 * LEVELS)[None, :, None].astype(np.float32)
    u = (np.arange(100) + 0.5) / 100
    paths = np.interp(u, LEVELS, own[0, :, 0])[None, ::-1, None].astype(np.float32)
    better = own.copy()
    better[0, LEVELS <= 0.5, 0] = 4 * LEVELS[LEVELS <= 0.5]
    moved = with_quantiles(forecast_of(own, ["a"], paths=paths), better).paths
    is_tied = paths == 0
    assert np.allclose(moved[paths > 6], paths[paths > 6], atol=1e-4)
    expected = np.interp(u[:50], LEVELS, better[0, :, 0])
    assert np.allclose(np.sort(moved[is_tied]), expected, atol=0.05)
    assert moved[is_tied].max() <= moved[~is_tied].min()
