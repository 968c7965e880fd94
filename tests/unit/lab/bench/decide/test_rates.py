"""True, believed and measured rates: sums over data sets, and documents without them."""

from __future__ import annotations

import pytest

from services.lab.bench.decide.rates import add_cost_of_not_knowing, summed_up
from services.lab.bench.decide.truth import TOLD_TRUTH


def arms(true: float, told: float, cost: float | None = 2.0) -> dict[str, dict]:
    rates = {"believed_rate": 0.01, "measured_rate": 0.01}
    found = {
        "harmony": {**rates, "true_rate": true, "cost_ratio": cost},
        TOLD_TRUTH: {**rates, "true_rate": told, "cost_ratio": 4.0},
    }
    add_cost_of_not_knowing(found, "cost_ratio")
    return found


def test_rates_are_means_and_costs_geometric_means_over_data_sets() -> None:
    found = summed_up([arms(0.2, 0.01), arms(0.4, 0.03, cost=8.0)])
    own = found["harmony"]
    assert own["true_rate"] == pytest.approx(0.3)
    assert own["believed_rate"] == pytest.approx(0.01)
    assert own["n_datasets"] == 2
    assert own["cost_of_not_knowing"] == {
        "cost_ratio": pytest.approx(1.0),  # a half and two
        "true_rate": pytest.approx(0.3),
        "true_rate_told": pytest.approx(0.02),
        "n_datasets": 2,
    }
    assert "cost_of_not_knowing" not in found[TOLD_TRUTH]


def test_without_a_run_that_is_told_or_without_a_cost_there_is_no_ratio() -> None:
    found = {"harmony": {"true_rate": 0.2, "cost_ratio": 2.0}}
    add_cost_of_not_knowing(found, "cost_ratio")
    assert found["harmony"]["cost_of_not_knowing"] is None
    assert arms(0.2, 0.01, cost=None)["harmony"]["cost_of_not_knowing"]["cost_ratio"] is None


def test_arms_of_earlier_documents_are_left_out() -> None:
    assert summed_up([{"harmony": {"rate": 0.1}}]) == {}
    assert summed_up([{"harmony": {"rate": 0.1}}, arms(0.2, 0.01)])["harmony"]["n_datasets"] == 1
