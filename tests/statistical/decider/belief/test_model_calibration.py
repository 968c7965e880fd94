"""Simulation-based calibration of the beliefs: truths drawn from the prior rank uniformly.

Parameters are drawn from the prior, data from the parameters, and the posterior is sampled: the
rank of each true parameter among independent posterior draws is then uniform (Talts et al.,
"Validating Bayesian inference algorithms with simulation-based calibration", arXiv 1804.06788).
A wrong likelihood, a forgotten censoring or a biased sampler shows as a slope or a bowl.
`HARMONY_REPLICATIONS` is the number of truths: small by default, 60 and more see smaller faults.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import chisquare

from decider.belief.capacity import congestion, utilisation_within
from decider.belief.miss_model import MissData
from decider.belief.miss_prior import (
    GROUP_SIGMAS,
    MEANS,
    OWN_SIGMAS,
    PRIOR_SHARE,
    RATIO_GROUP_SIGMA,
    RATIO_SPREAD,
    SHARING_MEAN,
    SHARING_SIGMA,
    SPREAD_SIGMA,
    SPREADS,
    to_draws,
)
from decider.belief.response_model import ResponseData
from decider.types import FloatArray

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # arviz announces its refactoring on import
    from decider.belief.model import (
        StartData,
        lead_time_inputs,
        lead_time_model,
        miss_inputs,
        miss_model,
        response_inputs,
        response_model,
    )
    from decider.belief.posterior import (
        MISS_AIDS,
        MISS_START,
        RESPONSE_START,
        CompiledModel,
        SamplerConfig,
        to_response,
    )

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
    ),
]

N_REPLICATIONS = int(os.environ.get("HARMONY_REPLICATIONS", "30"))
N_RANKS = 100
N_BINS = 5
LEVEL = 0.001
"""Probability that a quantity of a right model fails; with the fixed seed it either does or not."""

Ranks = dict[str, list[int]]


def normal(rng: np.random.Generator, mean: float, sd: float, n: int) -> FloatArray:
    return mean + sd * rng.standard_normal(n)


def note(ranks: Ranks, name: str, draws: FloatArray, truth: float) -> None:
    thin = draws[np.linspace(0, draws.size - 1, N_RANKS - 1).round().astype(int)]
    ranks.setdefault(name, []).append(int((thin < truth).sum()))


def p_values(ranks: Ranks) -> dict[str, float]:
    counts = {
        name: np.histogram(values, bins=N_BINS, range=(0, N_RANKS))[0]
        for name, values in ranks.items()
    }
    return {name: float(chisquare(c).pvalue) for name, c in counts.items()}


GPU_TYPE = np.array([0, 0, 0, 1, 1])
STARTS_OF = np.repeat(np.arange(5), 8)


def draw_starts(rng: np.random.Generator) -> tuple[StartData, dict[str, float]]:
    theta = normal(rng, np.log(90.0), 1.5, 2)
    tau = float(np.exp(normal(rng, np.log(0.2), 0.5, 1)[0]))
    mu = theta[GPU_TYPE] + normal(rng, 0.0, tau, 5)
    sigma = np.exp(normal(rng, np.log(0.4), 0.6, 2))
    law_sigma = sigma[GPU_TYPE[STARTS_OF]]
    seconds = np.exp(mu[STARTS_OF] + law_sigma * rng.standard_normal(STARTS_OF.size))
    # A third of the starts is looked at early, whatever its lead time will be.
    age = np.exp(rng.uniform(np.log(20.0), np.log(400.0), STARTS_OF.size))
    is_looked_at = rng.uniform(size=STARTS_OF.size) < 1 / 3
    is_censored = is_looked_at & (seconds > age)
    data = StartData(np.where(is_censored, age, seconds), is_censored, STARTS_OF, GPU_TYPE)
    truth = {"theta": theta[0], "tau": tau, "mu": mu[0], "sigma": sigma[0]}
    return data, {name: float(value) for name, value in truth.items()}


def calibrate(
    replicate: Callable[[np.random.Generator], tuple[dict[str, FloatArray], dict[str, float]]],
    seed: int,
) -> dict[str, float]:
    """P-values of uniform ranks by quantity; `replicate` gives draws and truths."""
    rng = np.random.default_rng(seed)
    ranks: Ranks = {}
    for _ in range(N_REPLICATIONS):
        draws, truth = replicate(rng)
        for name, value in truth.items():
            note(ranks, name, draws[name], value)
    return p_values(ranks)


def test_lead_times_are_calibrated() -> None:
    compiled = CompiledModel.of(lead_time_model(draw_starts(np.random.default_rng(0))[0]))
    config = SamplerConfig(n_tune=300, n_draws=300, n_chains=2)

    def replicate(rng: np.random.Generator) -> tuple[dict[str, FloatArray], dict[str, float]]:
        data, truth = draw_starts(rng)
        found, _ = compiled.sample(config, int(rng.integers(2**31)), lead_time_inputs(data))
        return {n: (v if v.ndim == 1 else v[:, 0]) for n, v in found.items()}, truth

    found = calibrate(replicate, seed=11)
    print(f"\np-values: {found}")
    assert min(found.values()) > LEVEL, found


STEPS_OF = np.repeat(np.arange(3), 16)
STATED = np.array([4.0, 10.0, 25.0])
LOAD = STATED[STEPS_OF] * np.tile(np.linspace(0.15, 1.15, 16), 3)


def draw_steps(rng: np.random.Generator) -> tuple[ResponseData, dict[str, float]]:
    base, queueing, factor = (
        np.exp(
            normal(rng, mean, sd, 1)
            + np.exp(normal(rng, np.log(spread), 0.5, 1)) * rng.standard_normal(3)
        )
        for mean, sd, spread in (
            (np.log(300.0), 2.0, 0.5),
            (np.log(0.5), 1.0, 0.3),
            (np.log(1.25), 0.3, 0.15),
        )
    )
    sharpness = np.exp(normal(rng, np.log(2.0), 0.3, 1))
    noise = float(np.exp(normal(rng, np.log(0.15), 0.6, 1)[0]))
    kappa = STATED * factor
    waiting = queueing[STEPS_OF] * congestion(LOAD / kappa[STEPS_OF], sharpness)
    log_latency = np.log(base[STEPS_OF] * (1.0 + waiting)) + normal(rng, 0.0, noise, LOAD.size)
    data = ResponseData(np.exp(log_latency), LOAD, STEPS_OF, STATED, np.zeros(3, dtype=int))
    truth = {
        "base_ms": base[0],
        "kappa": kappa[0],
        "sharpness": sharpness[0],
        "noise": noise,
        "capacity": kappa[0] * utilisation_within(2.0 / queueing[:1], sharpness)[0],
    }
    return data, {name: float(value) for name, value in truth.items()}


def test_response_curves_are_calibrated() -> None:
    first, _ = draw_steps(np.random.default_rng(0))
    compiled = CompiledModel.of(response_model(first), RESPONSE_START)
    config = SamplerConfig(300, 300, 2, 0.95, is_low_rank=True)

    def replicate(rng: np.random.Generator) -> tuple[dict[str, FloatArray], dict[str, float]]:
        data, truth = draw_steps(rng)
        found, _ = compiled.sample(config, int(rng.integers(2**31)), response_inputs(data))
        curve = to_response(found, data).curve(0)
        return {
            "base_ms": curve.base_ms,
            "kappa": curve.kappa,
            "sharpness": curve.sharpness,
            "noise": curve.noise,
            # The load at which latency is three times that of an idle replica.
            "capacity": curve.kappa * utilisation_within(2.0 / curve.queueing, curve.sharpness),
        }, truth

    found = calibrate(replicate, seed=12)
    print(f"\np-values: {found}")
    assert min(found.values()) > LEVEL, found


MISSES_OF = np.repeat(np.arange(2), 16)
MISS_LOAD = np.array([4.0, 25.0])[MISSES_OF] * np.tile(np.linspace(0.4, 1.2, 16), 2)


STATED_MISSES = np.array([4.0, 25.0])


def draw_coordinates(rng: np.random.Generator) -> tuple[FloatArray, dict[str, float]]:
    """(2, 4) coordinates of two workloads of a group, and the truths by name."""
    group, spread = (
        MEANS[:2] + GROUP_SIGMAS * rng.standard_normal(2),
        SPREADS * np.exp(SPREAD_SIGMA * rng.standard_normal(2)),
    )
    pooled = group + spread * rng.standard_normal((2, 2))
    alone = MEANS[2:] + OWN_SIGMAS * rng.standard_normal((2, 2))
    coordinates = np.concatenate([pooled, alone], axis=1)
    names = ("knee", "log_slope", "logit_floor", "log_concentration")
    truth = dict(zip(names, coordinates[0].tolist(), strict=True))
    return coordinates, truth | {"knee_group": float(group[0]), "knee_spread": float(spread[0])}


def count_misses(
    rng: np.random.Generator, coordinates: FloatArray, load: FloatArray, further: FloatArray
) -> MissData:
    """Steps of two workloads at given loads."""
    total = np.full(MISSES_OF.size, 200)
    missed = np.zeros(MISSES_OF.size)
    for row in range(2):
        of = row == MISSES_OF
        stated = float(STATED_MISSES[row])
        one = to_draws(coordinates[[row]], stated, PRIOR_SHARE, tuple(further[row].tolist()))
        share = np.clip(one.miss(load[of])[0], 1e-9, 1 - 1e-6)
        near = one.concentration[0]
        missed[of] = rng.binomial(total[of], rng.beta(share * near, (1 - share) * near))
    zeros = np.zeros(2)
    counts = (missed, total.astype(float), load, MISSES_OF)
    stated_of = (STATED_MISSES, zeros, zeros.astype(int), np.full(2, PRIOR_SHARE))
    return MissData(*counts, *stated_of, further)


def draw_misses(rng: np.random.Generator) -> tuple[MissData, dict[str, float]]:
    coordinates, truth = draw_coordinates(rng)
    return count_misses(rng, coordinates, MISS_LOAD, np.zeros((2, 0))), truth


def test_responses_to_load_are_calibrated() -> None:
    first, _ = draw_misses(np.random.default_rng(0))
    compiled = CompiledModel.of(miss_model(first), MISS_START, MISS_AIDS)
    config = SamplerConfig(250, 250, 2, 0.9, is_low_rank=True)

    def replicate(rng: np.random.Generator) -> tuple[dict[str, FloatArray], dict[str, float]]:
        data, truth = draw_misses(rng)
        found, _ = compiled.sample(config, int(rng.integers(2**31)), miss_inputs(data))
        return {n: (v if v.ndim == 1 else v[:, 0]) for n, v in found.items()}, truth

    found = calibrate(replicate, seed=13)
    print(f"\np-values: {found}")
    assert min(found.values()) > LEVEL, found


FURTHER = np.array([[400.0, 2.0], [90.0, 30.0]])
"""Stated capacities of two further loads of each workload."""
MIX = np.stack([np.tile(m, 2) for m in np.random.default_rng(3).dirichlet(np.ones(3), 16).T])
"""(3, N) how the loads of a step share in it."""


def draw_vector_misses(rng: np.random.Generator) -> tuple[MissData, dict[str, float]]:
    """As `draw_misses`, of three loads whose mix differs from step to step."""
    coordinates, truth = draw_coordinates(rng)
    group = RATIO_GROUP_SIGMA * rng.standard_normal(2)
    spread = RATIO_SPREAD * np.exp(SPREAD_SIGMA * rng.standard_normal(2))
    ratio = group + spread * rng.standard_normal((2, 2))
    excess = SHARING_MEAN + SHARING_SIGMA * rng.standard_normal(2)
    load = 1.6 * np.column_stack([STATED_MISSES, FURTHER])[MISSES_OF] * MIX.T
    load *= np.tile(np.linspace(0.4, 1.2, 16), 2)[:, None]
    data = count_misses(rng, np.column_stack([coordinates, excess, ratio]), load, FURTHER)
    more = {"log_excess": excess[0], "log_ratio": ratio[0, 0], "log_ratio_group": group[0]}
    return data, truth | {name: float(value) for name, value in more.items()}


@pytest.mark.timeout(900)
def test_responses_to_several_loads_are_calibrated() -> None:
    first, _ = draw_vector_misses(np.random.default_rng(0))
    compiled = CompiledModel.of(miss_model(first), MISS_START, MISS_AIDS)
    config = SamplerConfig(250, 250, 2, 0.9, is_low_rank=True)

    def replicate(rng: np.random.Generator) -> tuple[dict[str, FloatArray], dict[str, float]]:
        data, truth = draw_vector_misses(rng)
        found, _ = compiled.sample(config, int(rng.integers(2**31)), miss_inputs(data))
        return {n: v.reshape(v.shape[0], -1)[:, 0] for n, v in found.items()}, truth

    found = calibrate(replicate, seed=14)
    print(f"\np-values: {found}")
    assert min(found.values()) > LEVEL, found


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_the_check_itself_sees_a_bias(bias: float) -> None:
    rng = np.random.default_rng(5)
    ranks: Ranks = {}
    for _ in range(N_REPLICATIONS):
        note(ranks, "x", rng.standard_normal(1000) + bias, float(rng.standard_normal()))
    assert (p_values(ranks)["x"] > LEVEL) == (bias == 0.0)
