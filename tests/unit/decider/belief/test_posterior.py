"""The Bayesian slow path: recovery, censoring, diagnostics that gate. Slow: it samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

import decider  # what samples is loaded when it is first named: each worker imports this file
from decider.belief.lead_time import LeadTimeBelief, predictive_draws, update_belief
from decider.belief.miss_model import MissData
from decider.errors import InvalidRequest, PosteriorNotConverged

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
)

VAGUE = LeadTimeBelief.from_median(90.0, 0.4)


def config() -> decider.SamplerConfig:
    return decider.SamplerConfig(n_tune=400, n_draws=300, n_chains=4)


def lead_time_inputs(data: decider.StartData) -> dict[str, np.ndarray]:
    from decider.belief import model

    return model.lead_time_inputs(data)


def diagnose(chains: Mapping[str, np.ndarray], n_divergent: int) -> decider.Diagnostics:
    from decider.belief import posterior

    return posterior.diagnose(chains, n_divergent)


def mixed(is_mixed: bool) -> decider.Diagnostics:
    return decider.Diagnostics(1.0 if is_mixed else 1.1, 1e4, 0, 1000)


def starts(rng: np.random.Generator) -> tuple[decider.StartData, np.ndarray]:
    gpu_type = np.array([0, 0, 0, 0, 1, 1])
    mu = np.log(np.array([60.0, 180.0]))[gpu_type] + 0.15 * rng.standard_normal(6)
    workload = np.repeat(np.arange(6), 30)
    seconds = np.exp(mu[workload] + 0.4 * rng.standard_normal(workload.size))
    cut = np.exp(mu[workload] + 0.3)
    is_censored = seconds > cut  # the slow ones are still on their way
    return decider.StartData(
        np.where(is_censored, cut, seconds), is_censored, workload, gpu_type
    ), mu


@pytest.mark.slow
def test_lead_times_are_recovered_from_censored_starts() -> None:
    rng = np.random.default_rng(5)
    data, mu = starts(rng)
    posterior = decider.fit_lead_time(data, config(), seed=1)
    posterior.diagnostics.check()
    spread = posterior.mu.std(axis=0)
    assert (np.abs(posterior.mu.mean(axis=0) - mu) < 3.5 * spread).all()
    assert (spread < 0.2).all()
    naive = np.log(data.seconds[~data.is_censored & (data.workload == 0)]).mean()
    assert naive < posterior.mu[:, 0].mean()
    new = posterior.predictive_new(1, np.random.default_rng(0))
    assert np.median(new) == pytest.approx(180.0, rel=0.35)
    own = posterior.predictive(0, 0, np.random.default_rng(0))
    assert np.log(new).std() > np.log(own).std()  # a workload not seen yet is less certain


STUCK_S = 2 * 86_400.0


def with_stuck(age_s: float) -> decider.StartData:
    """Twelve starts of about 90 s of each of two workloads, and one of the first on its way."""
    rng = np.random.default_rng(0)
    seconds = np.append(90.0 * np.exp(0.1 * rng.standard_normal(24)), age_s)
    workload = np.append(np.repeat([0, 1], 12), 0)
    return decider.StartData(seconds, np.arange(25) == 24, workload, np.array([0, 0]))


def test_a_start_that_is_stuck_is_fitted_as_no_older_than_the_law_that_decides_takes_it() -> None:
    seen = lead_time_inputs(with_stuck(STUCK_S))
    assert np.exp(seen["observed_log_s"][-1]) < 300.0
    assert seen["upper_log_s"][-1] == seen["observed_log_s"][-1]
    older = lead_time_inputs(with_stuck(2 * STUCK_S))
    assert all((older[name] == seen[name]).all() for name in seen)
    young = lead_time_inputs(with_stuck(100.0))
    assert np.exp(young["observed_log_s"][-1]) == pytest.approx(100.0)
    assert (young["observed_log_s"][:-1] == seen["observed_log_s"][:-1]).all()


def test_starts_far_slower_than_those_of_their_type_are_fitted_as_they_end() -> None:
    rng = np.random.default_rng(0)
    data = with_stuck(100.0)
    slow = 3000.0 * np.exp(0.1 * rng.standard_normal(12))
    both = decider.StartData(
        np.concatenate([data.seconds, slow, [3500.0]]),
        np.concatenate([data.is_censored, np.arange(13) == 12]),
        np.concatenate([data.workload, np.full(13, 2)]),
        np.array([0, 0, 0]),
    )
    assert np.exp(lead_time_inputs(both)["observed_log_s"][-1]) == pytest.approx(3500.0)


@pytest.mark.slow
def test_a_pod_that_is_stuck_for_two_days_does_not_own_the_fitted_law() -> None:
    law = decider.fit_lead_time(with_stuck(STUCK_S), config(), seed=1)
    law.diagnostics.check()
    own = law.predictive(0, 0, np.random.default_rng(0))
    quick = with_stuck(STUCK_S).seconds[:12]
    decided = update_belief(VAGUE, quick, np.array([STUCK_S]))
    assert np.quantile(own, 0.9) < np.quantile(predictive_draws(decided, 64), 0.9)


def test_chains_that_have_not_mixed_are_refused() -> None:
    rng = np.random.default_rng(0)
    good = rng.standard_normal((4, 500))
    apart = good + np.array([[0.0], [0.0], [2.0], [2.0]])
    sticky = np.cumsum(good, axis=1)
    diagnose({"x": good}, 0).check()
    for chains, match in ((apart, "R-hat"), (sticky, "R-hat|effective")):
        with pytest.raises(PosteriorNotConverged, match=match):
            diagnose({"x": chains}, 0).check()
    with pytest.raises(PosteriorNotConverged, match="diverged"):
        diagnose({"x": good}, 50).check()
    assert decider.Diagnostics(float("nan"), 1e4, 0, 1000).fault()


def test_effective_size_of_independent_and_correlated_draws() -> None:
    rng = np.random.default_rng(1)
    independent = rng.standard_normal((4, 2000))
    found = diagnose({"x": independent}, 0)
    assert found.min_ess == pytest.approx(8000, rel=0.15)
    assert found.max_r_hat == pytest.approx(1.0, abs=0.01)
    correlated = np.empty((4, 4000))
    correlated[:, 0] = 0.0
    for t in range(1, 4000):
        correlated[:, t] = 0.9 * correlated[:, t - 1] + rng.standard_normal(4)
    # An AR(1) with coefficient 0.9 keeps (1 - 0.9) / (1 + 0.9) of its draws.
    both = np.stack([rng.standard_normal((4, 4000)), correlated], axis=-1)
    worst = diagnose({"x": both}, 0)
    assert worst.min_ess == pytest.approx(16000 * 0.1 / 1.9, rel=0.25)
    assert worst.n_draws == 16000


def test_a_parameter_that_never_moves_is_refused() -> None:
    rng = np.random.default_rng(2)
    chains = {"x": rng.standard_normal((4, 500)), "stuck": np.ones((4, 500))}
    with pytest.raises(PosteriorNotConverged, match="R-hat nan"):
        diagnose(chains, 0).check()


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Compiled]:
    """Models that were compiled, none of which samples."""
    made: list[Compiled] = []

    def compile_one(n_workloads: int, *_: object) -> Compiled:
        made.append(Compiled(n_workloads))
        return made[-1]

    monkeypatch.setattr("decider.belief.posterior.miss_model", lambda given: given.group.size)
    monkeypatch.setattr("decider.belief.posterior.to_misses", lambda draws, _: draws)
    monkeypatch.setattr("decider.belief.posterior.CompiledModel.of", compile_one)
    return made


class Compiled:
    """Notes how it was sampled: chains of these seeds have mixed."""

    def __init__(self, n_workloads: int) -> None:
        self.n_workloads = n_workloads
        self.sampled: list[tuple[int, int, int]] = []

    def sample(
        self, config: decider.SamplerConfig, seed: int, _: object
    ) -> tuple[int, decider.Diagnostics]:
        self.sampled.append((config.n_tune, config.n_draws, seed))
        return seed, mixed(seed in (1, 6))


def misses(n: int) -> MissData:
    """A step of each of `n` workloads."""
    ones = np.ones(n)
    counts = (np.zeros(n), ones, ones, np.arange(n))
    return MissData(*counts, ones, 0 * ones, np.zeros(n, dtype=int), 0.01 * ones)


def test_alike_fits_share_a_compiled_model_and_the_last_few_are_kept(
    compiled: list[Compiled],
) -> None:
    fits = decider.MissFits()
    for n in (1, 2, 1, 3, 4, 1, 5, 1, 2):
        fits.fit(misses(n), config(), seed=1)
    # Of five shapes four are kept: that of two workloads was used the longest ago.
    assert [model.n_workloads for model in compiled] == [1, 2, 3, 4, 5, 2]


def test_chains_that_have_not_mixed_are_sampled_once_more_twice_as_long(
    compiled: list[Compiled],
) -> None:
    fits, quick = decider.MissFits(), decider.SamplerConfig(30, 50, 4)
    for seed, taken, is_mixed in ((1, 1, True), (5, 6, True), (8, 9, False)):
        assert fits.fit(misses(1), quick, seed) == (taken, mixed(is_mixed))
    (model,) = compiled
    assert model.sampled == [(30, 50, 1), (30, 50, 5), (60, 100, 6), (30, 50, 8), (60, 100, 9)]


def test_impossible_data_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="seconds must be finite"):
        decider.StartData(np.array([0.0]), np.array([False]), np.array([0]), np.array([0]))
    with pytest.raises(InvalidRequest, match="must index gpu_type"):
        decider.StartData(np.array([1.0]), np.array([False]), np.array([3]), np.array([0]))
