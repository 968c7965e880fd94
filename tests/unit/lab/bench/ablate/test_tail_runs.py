"""Both tails on a small trace: what is counted, and how decisions read the fitted one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from forecaster.predict import TrainedModel
from forecaster.quantiles import interpolation_matrix
from services.kernel.errors import InvalidInput
from services.lab.bench.ablate.run import Ablation
from services.lab.bench.ablate.tail_runs import AHEAD, CHECKED, compare_tails, tail_laws
from services.lab.bench.ablate.tails import exponential_scale
from services.lab.bench.forecast.arm import LEVELS
from tests.unit.lab.bench.ablate.trained import TrainedTask
from tests.unit.lab.bench.loads.small import load_task


def test_the_exponential_tail_is_that_of_the_product() -> None:
    one = 20.0 * np.exp(0.2 * ndtri(LEVELS))
    quantiles = np.broadcast_to(one[:, None], (5, 1, LEVELS.size, 2)).copy()
    laws = tail_laws(quantiles, np.full((6, 1), 10.0))
    expected = interpolation_matrix(LEVELS, np.array(CHECKED)) @ one.astype(np.float32)
    assert laws["exponential"].checked[0, 0] == pytest.approx(expected, rel=1e-5)
    assert np.array_equal(laws["exponential"].levels, LEVELS)


def test_excesses_raise_the_fitted_tail_alone() -> None:
    one = 20.0 * np.exp(0.2 * ndtri(LEVELS))
    quantiles = np.broadcast_to(one[:, None], (60, 1, LEVELS.size, 2)).copy()
    calm = np.full((61, 1), 10.0)
    wild = np.full((61, 1), one[-1] + 8.0 * exponential_scale(quantiles)[0, 0, 0])
    at_end = [tail_laws(quantiles, actual) for actual in (calm, wild)]
    fitted = [laws["pareto"].checked[-1, 0] for laws in at_end]
    assert fitted[0][0] == fitted[1][0] == quantiles[0, 0, -1, AHEAD]
    assert fitted[1][1] > fitted[0][1] + 1.0
    plain = [laws["exponential"].checked for laws in at_end]
    assert np.array_equal(plain[0], plain[1])


def test_too_few_steps_are_refused_before_a_forecaster_is_trained() -> None:
    def train() -> TrainedModel:
        raise AssertionError("nothing is to be trained")

    run = Ablation(load_task(20).decide, (0.01,), seed=7)
    with pytest.raises(InvalidInput, match="--max-test-steps=20: 24 or more are right"):
        compare_tails(run, lambda _line: None, train)


@pytest.mark.slow
def test_rows_of_a_small_trace(trained: TrainedTask) -> None:
    run = Ablation(trained.task, (0.01,), seed=7)
    coverage, decisions = compare_tails(run, lambda _line: None, lambda: trained.model)
    assert [row["level"] for row in coverage] == ["99.5 %", "99.9 %"]
    assert coverage[0]["steps"] == 2 * 40
    assert coverage[0]["above, exponential"] == coverage[0]["above, pareto"]
    assert coverage[0]["pinball, pareto / exponential"].startswith("1.000 (1.000")
    (row,) = decisions
    assert row["promise"] == "1 %"
    assert 0.5 < float(row["cost, pareto / exponential"].split()[0]) < 2.0
