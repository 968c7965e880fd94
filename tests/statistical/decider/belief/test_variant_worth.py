"""What variants carry, sampled by PyMC over workloads of a group."""

from __future__ import annotations

import numpy as np
import pytest

from decider import MISS_SAMPLER, MissData
from decider.belief.miss_prior import PRIOR_SHARE, to_draws

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
    ),
]

STATED, WORTHS, N_STEPS = 10.0, (0.6, 1.2), 80


def test_variants_of_two_workloads_are_recovered_within_a_tenth() -> None:
    from decider.belief.posterior import fit_misses

    rng = np.random.default_rng(3)
    mix = rng.uniform(0.05, 0.9, (2 * N_STEPS, 1))
    load, missed, total = np.zeros(2 * N_STEPS), np.zeros(2 * N_STEPS), np.zeros(2 * N_STEPS)
    for w, worth in enumerate(WORTHS):
        of = slice(w * N_STEPS, (w + 1) * N_STEPS)
        at = np.array([[-0.1, np.log(14.0), -6.0, np.log(80.0), np.log(worth)]])
        truth = to_draws(at, STATED, PRIOR_SHARE)
        carried = 1.0 + mix[of, 0] * (worth - 1.0)
        load[of] = STATED * rng.uniform(0.4, 1.05, N_STEPS) * carried
        total[of] = rng.integers(100, 2000, N_STEPS)
        share = truth.miss(load[of], mix[of])[0]
        missed[of] = rng.binomial(total[of].astype(int), rng.beta(share * 80, (1 - share) * 80))
    data = MissData(
        missed, total, load, np.repeat([0, 1], N_STEPS), np.full(2, STATED), np.zeros(2),
        np.zeros(2, dtype=int), np.full(2, PRIOR_SHARE), mix=mix,
    )  # fmt: skip
    posterior, diagnostics = fit_misses(data, MISS_SAMPLER, seed=5)
    assert diagnostics.fault() == ""
    for row, worth in enumerate(WORTHS):
        draws = posterior.draws(row)
        assert np.median(draws.worth) == pytest.approx(worth, rel=0.1)
        assert np.log(draws.worth).std() < 0.1
        assert np.median(draws.load_within(PRIOR_SHARE)) == pytest.approx(
            STATED * np.exp(-0.1), rel=0.08
        )
