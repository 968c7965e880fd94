"""Beliefs on simulated services: truths recovered, censoring counted, strength borrowed, in time.

The time is CPU time of the whole fit, compilation included, so that a busy machine changes nothing.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass

import numpy as np
import pytest

from decider.belief.capacity import congestion
from decider.belief.response_model import CurveDraws, ResponseData, ResponsePosterior
from decider.types import FloatArray

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # arviz announces its refactoring on import
    from decider.belief.model import StartData
    from decider.belief.posterior import (
        RESPONSE_SAMPLER,
        Diagnostics,
        SamplerConfig,
        fit_lead_time,
        fit_response,
    )

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
    ),
]

SHARPNESS, NOISE = 2.2, 0.12
MAX_FIT_CPU_S = 30.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """True curves of W workloads on two GPU types."""

    base_ms: FloatArray
    queueing: FloatArray
    kappa: FloatArray
    stated: FloatArray
    gpu_type: np.ndarray

    def capacity(self, slo_ms: FloatArray) -> FloatArray:
        rows = []
        for base, queueing, kappa, slo in zip(
            self.base_ms, self.queueing, self.kappa, slo_ms, strict=True
        ):
            one = (np.array([v]) for v in (base, queueing, SHARPNESS, kappa, NOISE))
            rows.append(CurveDraws(*one).capacity(float(slo))[0])
        return np.array(rows)


def fleet(rng: np.random.Generator, n: int) -> Fleet:
    stated = np.exp(rng.uniform(0.0, 3.0, n))
    return Fleet(
        np.exp(np.log(200.0) + 0.5 * rng.standard_normal(n)),
        np.exp(np.log(0.5) + 0.3 * rng.standard_normal(n)),
        stated * np.exp(np.log(1.25) + 0.15 * rng.standard_normal(n)),
        stated,
        np.arange(n) % 2,
    )


def measure(
    rng: np.random.Generator, of: Fleet, counts: list[int], top: list[float]
) -> tuple[ResponseData, FloatArray]:
    """Steps at loads between 0.1 and each workload's `top` of kappa; each step's share of kappa."""
    workload = np.repeat(np.arange(of.kappa.size), counts)
    rho = rng.uniform(0.1, np.asarray(top)[workload])
    waiting = of.queueing[workload] * congestion(rho, np.asarray(SHARPNESS))
    mean = of.base_ms[workload] * (1.0 + waiting)
    latency = mean * np.exp(NOISE * rng.standard_normal(workload.size))
    load = rho * of.kappa[workload]
    return ResponseData(latency, load, workload, of.stated, of.gpu_type), rho


@pytest.fixture(scope="module")
def big_fit() -> tuple[Fleet, ResponsePosterior, Diagnostics, float]:
    """20 workloads of 200 steps, some beyond saturation."""
    rng = np.random.default_rng(0)
    of = fleet(rng, 20)
    data, rho = measure(rng, of, [200] * 20, [1.05] * 20)
    assert (rho > 1.0).sum() > 100
    began = time.process_time()
    posterior, diagnostics = fit_response(data, RESPONSE_SAMPLER, seed=1)
    return of, posterior, diagnostics, time.process_time() - began


Fit = tuple[Fleet, ResponsePosterior, Diagnostics, float]


def test_twenty_workloads_are_fitted_in_half_a_minute(big_fit: Fit) -> None:
    assert big_fit[2].fault() == ""
    assert big_fit[3] <= MAX_FIT_CPU_S


def test_curves_and_capacities_are_recovered_saturated_steps_included(big_fit: Fit) -> None:
    of, posterior, _, _ = big_fit
    slo_ms = 3.0 * of.base_ms
    truth, found = of.capacity(slo_ms), posterior.capacity(slo_ms)
    z = (found.mean(axis=0) - truth) / found.std(axis=0)
    assert np.abs(z).max() < 4.0
    assert (np.abs(found.mean(axis=0) / truth - 1.0) < 0.03).all()
    assert posterior.sharpness.mean() == pytest.approx(SHARPNESS, abs=4 * posterior.sharpness.std())
    assert posterior.noise.mean(axis=0) == pytest.approx(NOISE, rel=0.1)
    # The stated capacities are 15 % off each way: what was learned is far closer.
    factor = truth / of.stated
    assert np.abs(truth / (of.stated * np.median(factor)) - 1.0).max() > 0.15


def test_few_steps_are_pulled_to_the_others_of_the_type() -> None:
    rng = np.random.default_rng(8)
    of = fleet(rng, 8)
    data, _ = measure(rng, of, [4, 4] + [60] * 6, [0.4] * 2 + [0.9] * 6)
    posterior, diagnostics = fit_response(data, RESPONSE_SAMPLER, seed=2)
    assert diagnostics.fault() == ""
    spread = np.log(posterior.kappa / of.stated).std(axis=0)
    assert spread[:2].min() > 2 * spread[2:].max()
    new = np.log(posterior.curve_new(0, 1.0, np.random.default_rng(0)).kappa)
    alone = np.hypot(0.3, 0.15)  # what the prior says of a workload whose type has no data
    assert spread[:2].max() < new.std() < alone
    assert np.median(new) == pytest.approx(np.log(1.25), abs=0.2)
    truth = np.log(of.kappa[:2] / of.stated[:2])
    assert (np.abs(np.log(posterior.kappa / of.stated).mean(axis=0)[:2] - truth) < 0.3).all()


def test_dropping_the_starts_still_on_their_way_biases_the_lead_time() -> None:
    rng = np.random.default_rng(9)
    workload, gpu_type = np.repeat(np.arange(3), 50), np.zeros(3, dtype=int)
    mu, sigma = np.log(200.0), 0.6
    seconds = np.exp(mu + sigma * rng.standard_normal(workload.size))
    is_censored = seconds > 250.0  # the slow third is still on its way
    seen = np.where(is_censored, 250.0, seconds)
    config = SamplerConfig(n_tune=400, n_draws=600, n_chains=4)
    whole = fit_lead_time(StartData(seen, is_censored, workload, gpu_type), config, seed=4)
    kept = ~is_censored
    finished = StartData(seen[kept], is_censored[kept], workload[kept], gpu_type)
    dropped = fit_lead_time(finished, config, seed=4)
    for posterior in (whole, dropped):
        assert posterior.diagnostics.fault() == ""
    right, wrong = (p.predictive_new(0, np.random.default_rng(0)) for p in (whole, dropped))
    truth_p90 = np.exp(mu + 1.2816 * sigma)
    assert np.quantile(right, 0.9) == pytest.approx(truth_p90, rel=0.25)
    assert np.quantile(wrong, 0.9) < 0.75 * truth_p90
    assert whole.theta.mean() == pytest.approx(mu, abs=4 * whole.theta.std())
    assert dropped.theta.mean() < mu - 0.25
