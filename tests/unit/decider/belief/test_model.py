"""The sampled model is the curve."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import comb
from scipy.stats import betabinom, norm

from decider.belief.miss_model import MissData
from decider.belief.miss_prior import MEANS, OWN_SIGMAS
from decider.belief.occupancy import FullUse, use_log_likelihood
from decider.belief.response_model import (
    ResponseData,
)
from decider.miss_draws import inside

WITHOUT_C = "FAST_COMPILE"
"""How PyTensor evaluates a model as it is written: some seconds of a compiler for each buy nothing,
and what samples in production is made by Numba."""
quiet_pymc = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
)


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
    logp = model.compile_logp(vars=[model["observed_log_latency"]], sum=False, mode=WITHOUT_C)(
        point
    )[0]
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


@quiet_pymc
def test_the_sampled_model_of_misses_is_the_response_and_its_prior() -> None:
    """What is sampled is another form of knee and floor, with the density that these have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from decider.belief.model import miss_model
        from decider.belief.posterior import to_misses

    rng = np.random.default_rng(3)
    stated, cv = np.array([4.0, 8.0]), np.array([0.0, 0.3])
    workload = np.repeat([0, 1], 5)
    load = stated[workload] * rng.uniform(0.3, 1.4, 10)
    total = rng.integers(5, 100, 10).astype(float)
    missed = np.floor(total * rng.uniform(0, 0.5, 10))
    share = np.array([0.05, 0.01])
    data = MissData(missed, total, load, workload, stated, cv, np.zeros(2, dtype=int), share)
    model = miss_model(data)
    point = model.initial_point() | {
        "log_odds_offset": np.array([0.3, -0.2]),
        "logit_curable": np.array([1.0, -0.5]),
        "log_slope": np.log([6.0, 20.0]),
        "knee_group": np.array([0.1]),
        "knee_spread_log__": np.array(np.log(0.2)),
        "log_concentration": np.log([30.0, 90.0]),
    }
    named = {name: point[name][None] for name in ("log_slope", "log_concentration", "knee_group")}
    derive = model.compile_fn(
        model.replace_rvs_by_values(model.deterministics),
        inputs=model.value_vars,
        on_unused_input="ignore",
        mode=WITHOUT_C,
    )
    for value, found in zip(model.deterministics, derive(point), strict=True):
        named[str(value.name)] = found[None]
    more = {"log_slope_group": point["log_slope_group"][None]}
    more |= {f"{name}_spread": np.array([0.2]) for name in ("knee", "log_slope")}
    posterior = to_misses(named | more, data)
    by_step = model.compile_logp(vars=[model["observed_missed"]], sum=False, mode=WITHOUT_C)(point)[
        0
    ]
    for row in range(2):
        of, one = workload == row, posterior.draws(row)
        miss, near = inside(one.miss(load[of])[0]), one.concentration[0]
        by_hand = betabinom.logpmf(missed[of], total[of], miss * near, (1 - miss) * near)
        by_hand -= np.log(comb(total[of], missed[of]))  # which no parameter moves
        np.testing.assert_allclose(by_step[of], by_hand, rtol=1e-6)
    knee, log_slope, floor, _ = posterior.coordinates[0]
    sigma = np.hypot(0.2, data.prior_sigma)
    prior = norm.logpdf(knee, 0.1, sigma) + norm.logpdf(floor, MEANS[2], OWN_SIGMAS[0])
    potential = model.compile_logp(vars=model.potentials, mode=WITHOUT_C)(point)
    assert potential == pytest.approx((prior - log_slope).sum())
    # The Jacobian by finite differences: of (knee, logit floor) by what is sampled.
    columns = []
    for name in ("log_odds_offset", "logit_curable"):
        ends = [derive(point | {name: point[name] + step}) for step in (1e-5, -1e-5)]
        columns.append([(up - down) / 2e-5 for up, down in zip(*ends, strict=True)])
    volume = np.abs(np.linalg.det(np.moveaxis(np.array(columns), -1, 0)))
    np.testing.assert_allclose(np.log(volume), -log_slope, atol=1e-6)


@quiet_pymc
def test_the_sampled_model_of_several_loads_is_the_response() -> None:
    """A workload of three loads beside one of two: likelihood, and the density of its knee."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from decider.belief.model import miss_model
        from decider.belief.posterior import to_misses

    rng = np.random.default_rng(3)
    stated, workload = np.array([4.0, 8.0]), np.repeat([0, 1], 5)
    further = np.array([[100.0, 0.5], [30.0, np.inf]])
    shares = rng.uniform(0.1, 1.2, (10, 3))
    load = shares * np.column_stack([stated, further])[workload]
    load[5:, 2] = 0.0
    total = rng.integers(5, 100, 10).astype(float)
    missed = np.floor(total * rng.uniform(0, 0.5, 10))
    share, group = np.array([0.05, 0.01]), np.zeros(2, dtype=int)
    data = MissData(missed, total, load, workload, stated, np.zeros(2), group, share, further)
    model = miss_model(data)
    point = model.initial_point() | {
        "log_odds_offset": np.array([0.3, -0.2]),
        "logit_curable": np.array([1.0, -0.5]),
        "log_slope": np.log([6.0, 20.0]),
        "log_concentration": np.log([30.0, 90.0]),
        "log_excess": np.array([-0.5, 0.7]),
        "log_ratio": np.array([[0.1, -0.2], [0.2, 0.3]]),
    }
    values = model.replace_rvs_by_values(model.deterministics)
    derive = model.compile_fn(
        values, inputs=model.value_vars, on_unused_input="ignore", mode=WITHOUT_C
    )
    named = {str(v.name): np.asarray(point[v.name])[None] for v in model.value_vars}
    for value, found in zip(model.deterministics, derive(point), strict=True):
        named[str(value.name)] = found[None]
    named |= {f"{name}_spread": np.array([0.2]) for name in ("knee", "log_slope")}
    named["log_ratio_spread"] = np.array([[0.2, 0.2]])
    posterior = to_misses(named, data)
    by_step = model.compile_logp(vars=[model["observed_missed"]], sum=False, mode=WITHOUT_C)(point)[
        0
    ]
    for row, n_loads in enumerate((3, 2)):
        of, one = workload == row, posterior.draws(row)
        assert one.n_further == n_loads - 1
        miss, near = inside(one.miss(load[of, :n_loads])[0]), one.concentration[0]
        by_hand = betabinom.logpmf(missed[of], total[of], miss * near, (1 - miss) * near)
        by_hand -= np.log(comb(total[of], missed[of]))  # which no parameter moves
        np.testing.assert_allclose(by_step[of], by_hand, rtol=1e-5)
    assert posterior.pooled.location.shape == (1, 4, 1)
    columns = []
    for name in ("log_odds_offset", "logit_curable"):
        ends = [derive(point | {name: point[name] + step}) for step in (1e-5, -1e-5)]
        columns.append([(up - down) / 2e-5 for up, down in zip(*ends, strict=True)])
    volume = np.abs(np.linalg.det(np.moveaxis(np.array(columns), -1, 0)))
    np.testing.assert_allclose(np.log(volume), -point["log_slope"], atol=1e-6)


@quiet_pymc
def test_the_sampled_model_sees_occupancies_as_draws_are_weighed_by_them() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from decider.belief.model import miss_model
        from decider.belief.posterior import to_misses

    plain = batch(4, (5, 6, 4), [0, 0, 1], (2, 0))
    laws = (
        (0, FullUse(np.array([0.0, 12.0, 0.0]), -0.4, 0.2)),
        (2, FullUse(np.array([1.5, 0.0, 9.0]), -0.9, 0.3)),
    )
    data = replace(plain, full=laws)
    rng = np.random.default_rng(6)
    without, model = miss_model(plain), miss_model(data)
    start = without.initial_point().items()
    point = {k: v + 0.3 * rng.standard_normal(v.shape) for k, v in start}
    seen = model.compile_logp(vars=model.potentials, mode=WITHOUT_C)(point)
    seen -= without.compile_logp(vars=without.potentials, mode=WITHOUT_C)(point)
    derive = model.compile_fn(
        model.replace_rvs_by_values(model.deterministics),
        inputs=model.value_vars,
        on_unused_input="ignore",
        mode=WITHOUT_C,
    )
    named = {str(v.name): np.asarray(point[v.name])[None] for v in model.value_vars}
    for value, found in zip(model.deterministics, derive(point), strict=True):
        named[str(value.name)] = found[None]
    named |= {f"{name}_spread": np.array([0.2]) for name in ("knee", "log_slope")}
    named["log_ratio_spread"] = np.array([[0.2, 0.2]])
    posterior = to_misses(named, data)
    by_draws = [use_log_likelihood([law], posterior.draws(row))[0] for row, law in laws]
    assert seen == pytest.approx(sum(by_draws), rel=1e-6)
    assert sum(by_draws) < -0.1


def batch(
    seed: int, n_steps: tuple[int, int, int], groups: list[int], n_more: tuple[int, int] = (0, 0)
) -> MissData:
    """Three workloads in two groups, with further loads and variants; all of it by the seed."""
    rng, (n_further, n_variants) = np.random.default_rng(seed), n_more
    workload, n = np.repeat(np.arange(3), n_steps), sum(n_steps)
    stated, further = rng.uniform(4.0, 9.0, 3), rng.uniform(20.0, 90.0, (3, n_further))
    load = rng.uniform(0.3, 1.2, (n, 1 + n_further)) * np.column_stack([stated, further])[workload]
    total = rng.integers(5, 100, n).astype(float)
    return MissData(
        np.floor(total * rng.uniform(0, 0.5, n)),
        total,
        load if n_further else load[:, 0],
        workload,
        stated,
        rng.uniform(0.0, 0.5, 3),
        np.array(groups),
        rng.uniform(0.01, 0.1, 3),
        further,
        rng.uniform(0.0, 0.4, (n, n_variants)),
    )


@pytest.mark.slow
@quiet_pymc
@pytest.mark.parametrize("n_more", [(0, 0), (2, 0), (0, 1)])
def test_a_model_of_one_batch_serves_another(n_more: tuple[int, int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pymc as pm

        from decider.belief.model import miss_inputs, miss_model

    first = miss_model(batch(1, (7, 4, 5), [0, 0, 1], n_more))
    data = batch(2, (3, 9, 6), [0, 1, 1], n_more)
    second = miss_model(data)
    rng = np.random.default_rng(5)
    point = {k: v + 0.3 * rng.standard_normal(v.shape) for k, v in second.initial_point().items()}
    served, own = (model.compile_logp(mode=WITHOUT_C) for model in (first, second))
    before = served(point)
    with first:
        pm.set_data(miss_inputs(data))
    after = served(point)
    assert after == pytest.approx(float(own(point)), rel=1e-9)
    assert after != pytest.approx(float(before), rel=1e-3)
