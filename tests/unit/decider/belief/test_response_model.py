"""Response curves: the curve's laws, its inversion, and what is refused. No sampling."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import example, given, strategies as st

from decider.belief.capacity import SATURATION, congestion, utilisation_within
from decider.belief.response_model import (
    CurveDraws,
    ResponseData,
    ResponsePosterior,
    TypeDraws,
    relative_capacity_new,
)
from decider.errors import InvalidRequest

quiet_pymc = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
)

sharpnesses = st.floats(0.5, 5.0)


def curves(n: int = 3) -> CurveDraws:
    base = np.linspace(80.0, 120.0, n)
    return CurveDraws(base, np.full(n, 0.5), np.full(n, 2.0), np.full(n, 10.0), np.full(n, 0.1))


def test_congestion_by_hand() -> None:
    rho = np.array([0.5, SATURATION, 1.0])
    # 0.25 / 0.5; 0.9025 * 20; the tangent from 20 with slope 400 over 0.05.
    assert congestion(rho, np.asarray(2.0)) == pytest.approx([0.5, 18.05, 40.0])


@given(sharpnesses, st.floats(1e-3, 1e3), st.floats(1e-6, 1.0))
def test_any_load_has_a_finite_latency_and_more_load_a_higher_one(
    sharpness: float, rho: float, step: float
) -> None:
    low, high = congestion(np.array([rho, rho * (1.0 + step)]), np.asarray(sharpness))
    assert np.isfinite(high)
    assert high > low > 0


@given(sharpnesses)
def test_the_continuation_joins_without_a_kink(sharpness: float) -> None:
    h = 1e-6
    at = congestion(SATURATION + np.array([-2 * h, -h, 0.0, h, 2 * h]), np.asarray(sharpness))
    below, above = (at[2] - at[0]) / (2 * h), (at[4] - at[2]) / (2 * h)
    assert above == pytest.approx(below, rel=1e-3)


@given(sharpnesses, st.floats(0.05, 5.0), st.floats(1.0, 50.0))
@example(b=2.0, a=1.0, times=1.0 + 2**-52)
def test_latency_at_the_utilisation_found_is_the_bound(b: float, a: float, times: float) -> None:
    rho = float(utilisation_within(np.asarray((times - 1.0) / a), np.asarray(b)))
    found = 1.0 + a * rho**b / (1.0 - rho)
    assert found == pytest.approx(times, rel=1e-6)


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
    wide = np.full((n_draws, 1), np.log(1.25))
    types = tuple(TypeDraws(wide, np.full(n_draws, s)) for s in (0.5, 0.3, 0.2))
    many = 100.0 + rng.uniform(size=(n_draws, 2))
    one = np.full(n_draws, 2.0)
    noise = np.full((n_draws, 1), 0.1)
    row = (many, many / 200, many / 10, one, noise, np.array([0, 0]))
    return ResponsePosterior(*row, types)  # type: ignore[arg-type]


def test_a_workload_without_data_takes_the_law_of_its_type() -> None:
    new = posterior().curve_new(0, 8.0, np.random.default_rng(1))
    logs = np.log(new.kappa / 8.0)
    assert logs.mean() == pytest.approx(np.log(1.25), abs=0.02)
    assert logs.std() == pytest.approx(0.2, rel=0.05)
    assert np.log(new.base_ms).std() == pytest.approx(0.5, rel=0.05)
    with pytest.raises(InvalidRequest, match="prior_load=0"):
        posterior().curve_new(0, 0.0, np.random.default_rng(1))


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


ONE, TWO = np.array([1.0]), np.array([1.0, 2.0])
ZERO = np.array([0])


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


@quiet_pymc
def test_the_sampled_model_is_the_curve() -> None:
    """PyTensor's likelihood and NumPy's curve are the same, beyond saturation too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from decider.belief.model import response_model
        from decider.belief.posterior import to_response

    rng = np.random.default_rng(3)
    workload, gpu_type = np.repeat([0, 1, 2], 5), np.array([0, 1, 1])
    stated = np.array([4.0, 8.0, 16.0])
    load = stated[workload] * rng.uniform(0.1, 2.0, 15)
    data = ResponseData(rng.uniform(100, 900, 15), load, workload, stated, gpu_type)
    model = response_model(data)
    point = model.initial_point()
    for name in ("log_base_offset", "log_queueing_offset", "log_factor_offset"):
        point[name] = 0.1 * rng.standard_normal(3)
    point["noise_log__"] = np.log([0.2, 0.3])
    logp = model.compile_logp(vars=[model["observed_log_latency"]], sum=False)(point)[0]
    named = {n.removesuffix("_log__"): v for n, v in point.items()}
    exp = {n.removesuffix("_log__"): np.exp(v) for n, v in point.items() if n.endswith("_log__")}
    draws = {n: np.asarray(v)[None] for n, v in (named | exp).items()}
    found = to_response(draws, data)
    for row in range(3):
        of = workload == row
        curve = found.curve(row)
        z = (np.log(data.latency_ms[of]) - curve.log_latency(load[of])[0]) / curve.noise[0]
        by_hand = -0.5 * z**2 - np.log(curve.noise[0]) - 0.5 * np.log(2 * np.pi)
        np.testing.assert_allclose(logp[of], by_hand, rtol=1e-9)
