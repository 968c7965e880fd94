"""Response curves: the curve's laws, its inversion, and what is refused. No sampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider.belief.capacity import SATURATION, congestion
from decider.belief.response_model import (
    CurveDraws,
    ResponseData,
    ResponsePosterior,
    relative_capacity_new,
)
from decider.errors import InvalidRequest

sharpnesses = st.floats(0.5, 5.0)


def curves(n: int = 3) -> CurveDraws:
    base = np.linspace(80.0, 120.0, n)
    return CurveDraws(base, np.full(n, 0.5), np.full(n, 2.0), np.full(n, 10.0), np.full(n, 0.1))


@given(sharpnesses, st.floats(1e-3, 1e3), st.floats(1e-6, 1.0))
def test_any_load_has_a_finite_latency_and_more_load_a_higher_one(
    sharpness: float, rho: float, step: float
) -> None:
    low, high = congestion(np.array([rho, rho * (1.0 + step)]), np.asarray(sharpness))
    assert np.isfinite(high)
    assert high > low > 0


def test_capacity_is_where_the_curve_meets_the_slo() -> None:
    draws = curves()
    capacity = draws.capacity(200.0)
    at_capacity = np.array([draws.log_latency(capacity[[p]])[p, 0] for p in range(3)])
    assert np.exp(at_capacity) == pytest.approx(200.0, rel=1e-6)
    # base 100: 2 = 1 + 0.5 r^2 / (1 - r), so r^2 + 2 r - 2 = 0.
    assert capacity[1] == pytest.approx(10.0 * (np.sqrt(3.0) - 1.0))
    assert (np.diff(draws.capacity(300.0)) < 0).all()  # a slower replica holds less
    assert list(draws.capacity(100.0) > 0) == [True, False, False]
    for wrong in (0.0, float("nan")):
        with pytest.raises(InvalidRequest, match="slo_ms="):
            draws.capacity(wrong)


def test_curves_read_back_from_their_array() -> None:
    again = CurveDraws.from_array(curves().to_array())
    np.testing.assert_array_equal(again.to_array(), curves().to_array())
    with pytest.raises(InvalidRequest, match=r"expected \(P, 5\)"):
        CurveDraws.from_array(np.ones((3, 4)))
    with pytest.raises(InvalidRequest, match="finite and > 0"):
        CurveDraws.from_array(np.zeros((3, 5)))


def posterior(n_draws: int = 4000) -> ResponsePosterior:
    rng = np.random.default_rng(0)
    many = 100.0 + rng.uniform(size=(n_draws, 2))
    one = np.full(n_draws, 2.0)
    noise = np.full((n_draws, 1), 0.1)
    row = (many, many / 200, many / 10, one, noise, np.array([0, 0]))
    return ResponsePosterior(*row)


def test_capacity_of_all_workloads_takes_each_ones_slo() -> None:
    found = posterior(50)
    capacity = found.capacity(np.array([200.0, 400.0]))
    np.testing.assert_array_equal(capacity[:, 1], found.curve(1).capacity(400.0))
    assert capacity.shape == (50, 2)
    assert (capacity[:, 1] > capacity[:, 0]).all()


def test_relative_capacity_of_a_further_workload_by_hand() -> None:
    stated = np.array([10.0, 20.0, 40.0, 80.0, 160.0])
    logs = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])
    capacity = np.tile(stated * np.exp(logs), (20_000, 1))
    found = np.log(relative_capacity_new(capacity, stated, np.random.default_rng(0)))
    assert np.median(found) == pytest.approx(0.0, abs=0.01)
    # sd 0.1581 (n - 1), times sqrt(1 + 1/5), times the 90 % point of a t with 4 degrees: 1.533.
    assert np.quantile(found, 0.9) == pytest.approx(0.1581 * np.sqrt(1.2) * 1.533, rel=0.05)
    with pytest.raises(InvalidRequest, match="1 workloads"):
        relative_capacity_new(capacity[:, :1], stated[:1], np.random.default_rng(0))


ZERO = np.array([0])


ONE, TWO = np.array([1.0]), np.array([1.0, 2.0])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((ONE, TWO, ZERO, ONE, ZERO), "must be \\(N,\\)"),
        ((ONE, ONE, ZERO, TWO, ZERO), "must be \\(W,\\)"),
        ((ONE, ONE * 0, ZERO, ONE, ZERO), "load must be finite and > 0"),
        ((ONE * np.nan, ONE, ZERO, ONE, ZERO), "latency_ms must be finite"),
        ((ONE, ONE, ZERO + 3, ONE, ZERO), "must index prior_load"),
        ((ONE, ONE, ZERO, ONE, ZERO - 1), "gpu_type must be >= 0"),
    ],
)
def test_impossible_data_are_refused(data: tuple[np.ndarray, ...], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        ResponseData(*data)


def test_chains_start_below_saturation() -> None:
    load = np.array([1.0, 3.0, 2.0])
    data = ResponseData(
        np.array([100.0, 900.0, 50.0]), load, np.array([0, 0, 1]), np.full(3, 2.0), np.zeros(3, int)
    )
    near = data.near()
    kappa = data.prior_load * np.exp(near["log_factor"])
    assert (load / kappa[data.workload] < SATURATION).all()
    assert near["log_base"][1] == pytest.approx(np.log(50.0))
    assert np.isfinite(near["log_base"]).all()  # the third workload has no data
