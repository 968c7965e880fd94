"""Responses of simulated services sampled: truths recovered, strength borrowed, floors told apart.

`pytest tests/statistical/decider/belief/test_miss_model.py -s` prints the figures.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest

from decider.belief.miss_model import MissData, MissPosterior
from decider.belief.miss_prior import PRIOR_SHARE, MissPrior, to_draws
from decider.miss_draws import MissDraws
from decider.types import FloatArray

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # arviz announces its refactoring on import
    from decider.belief.posterior import MISS_SAMPLER, Diagnostics, fit_misses

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
    ),
]

WITHIN = 0.01
N_WORKLOADS = 8
GROUP_ERROR = -0.2
"""Log of what the group's knees are over the stated capacities."""
ILL, BARE, NEW_CAPACITY = 6, 7, 10.0
"""A workload with an outage at low loads, and one without steps."""


class Services:
    """True responses, and steps counted under them."""

    def __init__(self, rng: np.random.Generator, n: int) -> None:
        self.rng = rng
        self.stated = np.exp(rng.uniform(0.0, 3.0, n))
        self.coordinates = np.stack(
            [
                GROUP_ERROR + 0.1 * rng.standard_normal(n),
                np.log(14.0) + 0.25 * rng.standard_normal(n),
                np.log(0.002) + 0.7 * rng.standard_normal(n),
                np.log(80.0) + 0.5 * rng.standard_normal(n),
            ],
            axis=1,
        )
        self.coordinates[ILL % n, 2] = np.log(0.1 / 0.9)

    def truth(self, row: int) -> MissDraws:
        return to_draws(self.coordinates[[row]], float(self.stated[row]), PRIOR_SHARE)

    def count(self, row: int, load: FloatArray) -> tuple[FloatArray, FloatArray]:
        one = self.truth(row)
        share = np.clip(one.miss(load)[0], 1e-9, 1 - 1e-6)
        total = self.rng.integers(50, 3000, load.size)
        near = one.concentration[0]
        return self.rng.binomial(total, self.rng.beta(share * near, (1 - share) * near)), total

    def data(self, n_steps: int, low: float, high: float) -> MissData:
        """Steps at loads between `low` and `high` of the knee; the last workload has none."""
        n = self.stated.size
        knee = self.stated * np.exp(self.coordinates[:, 0])
        bands = [(low, high)] * n
        if n > ILL:
            bands[ILL] = (0.2, 0.6)
        loads = [knee[w] * self.rng.uniform(*bands[w], n_steps) for w in range(n)]
        if n > BARE:
            loads[BARE] = np.zeros(0)
        counted = [self.count(w, loads[w]) for w in range(n)]
        return MissData(
            np.concatenate([missed for missed, _ in counted]).astype(float),
            np.concatenate([total for _, total in counted]).astype(float),
            np.concatenate(loads),
            np.repeat(np.arange(n), [load.size for load in loads]),
            self.stated,
            np.zeros(n),
            np.zeros(n, dtype=int),
            np.full(n, PRIOR_SHARE),
        )


Fit = tuple[Services, MissPosterior, Diagnostics]


@pytest.fixture(scope="module")
def fit() -> Fit:
    services = Services(np.random.default_rng(2), N_WORKLOADS)
    began = time.process_time()
    posterior, diagnostics = fit_misses(services.data(100, 0.4, 1.1), MISS_SAMPLER, seed=1)
    print(f"\n{time.process_time() - began:.1f} s, {diagnostics}")
    return services, posterior, diagnostics


def test_a_group_with_an_outage_and_a_bare_workload_passes_the_gate(fit: Fit) -> None:
    assert fit[2].fault() == ""


def test_responses_are_recovered(fit: Fit) -> None:
    services, posterior, _ = fit
    found = posterior.coordinates[:, :, :ILL]
    truth = services.coordinates[:ILL].T
    z = (found.mean(axis=0) - truth) / found.std(axis=0)
    off = [
        np.median(posterior.draws(w).load_within(WITHIN)) / services.truth(w).load_within(WITHIN)
        for w in range(ILL)
    ]
    print(f"\nz {np.abs(z).max(axis=1)}, loads within 1 % off by {np.abs(np.array(off) - 1).max()}")
    assert np.abs(z).max() < 4.0
    assert np.abs(np.array(off) - 1).max() < 0.08


def _levels(logs: FloatArray) -> str:
    low, middle, high = np.exp(np.quantile(logs, (0.05, 0.5, 0.95)))
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def test_workloads_without_steps_borrow_from_their_group(fit: Fit) -> None:
    services, posterior, _ = fit
    bare = np.log(posterior.draws(BARE).load_within(PRIOR_SHARE) / services.stated[BARE])
    prior = MissPrior.stated(NEW_CAPACITY, 0.0, PRIOR_SHARE)
    new = prior.of_group(posterior.group_law(0), 0.0).draws(4096)
    further = np.log(new.load_within(PRIOR_SHARE) / NEW_CAPACITY)
    stated = MissPrior.stated(NEW_CAPACITY, 0.0, PRIOR_SHARE).draws(4096)
    alone = np.log(stated.load_within(PRIOR_SHARE) / NEW_CAPACITY)
    print(f"\nknee over the stated, the group's being {np.exp(GROUP_ERROR):.3f}: ", end="")
    print(f"of one more {_levels(further)}, as stated {_levels(alone)}")
    for draws in (bare, further):
        assert draws.mean() == pytest.approx(GROUP_ERROR, abs=0.12)
        assert draws.std() < 0.25  # the prior's is 0.36


def test_misses_at_low_loads_raise_the_floor_and_not_the_need(fit: Fit) -> None:
    services, posterior, _ = fit
    ill = posterior.draws(ILL)
    assert np.median(ill.floor) == pytest.approx(0.1, rel=0.3)
    knee = np.log(ill.load_within(PRIOR_SHARE) / services.stated[ILL])
    assert np.median(knee) > GROUP_ERROR - 0.15


def test_misses_at_loads_beyond_any_seen_are_covered() -> None:
    """At 1.3 times the largest load seen, the true share lies in the 95 % interval."""
    services = Services(np.random.default_rng(5), 5)
    data = services.data(100, 0.45, 0.85)
    posterior, diagnostics = fit_misses(data, MISS_SAMPLER, seed=3)
    assert diagnostics.max_r_hat < 1.1
    hits, widths = [], []
    for row in range(5):
        load = np.array([1.3 * data.load[data.workload == row].max()])
        low, high = np.quantile(posterior.draws(row).miss(load), (0.025, 0.975))
        hits.append(low <= services.truth(row).miss(load)[0, 0] <= high)
        widths.append(high - low)
    print(f"\n{diagnostics}, covered {hits}, widths {widths}")
    assert sum(hits) >= 4
    # Wide, 0.67 to 0.95 as sampled: steps up to 0.85 of the knee say little of what is beyond it.
    assert np.mean(widths) < 0.9


def test_few_steps_in_a_narrow_band_leave_the_prior_and_mix() -> None:
    services = Services(np.random.default_rng(6), 3)
    posterior, diagnostics = fit_misses(services.data(60, 0.55, 0.7), MISS_SAMPLER, seed=4)
    print(f"\n{diagnostics}")
    assert diagnostics.n_divergent <= 7
    assert diagnostics.max_r_hat < 1.05
    assert posterior.coordinates[:, 0, :].std(axis=0).min() > 0.05
