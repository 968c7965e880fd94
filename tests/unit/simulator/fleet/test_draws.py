"""Options and constants of a generated fleet."""

from __future__ import annotations

import pytest

from services.simulator.fleet import FleetOptions
from services.simulator.fleet.draws import draw_workload


@pytest.mark.parametrize(
    "bad",
    [
        {"step_s": 59},
        {"step_s": 601},
        {"n_workloads": 0},
        {"replay_start_s": 7},
        {"epsilon": 0.0},
        {"n_history": 1},
    ],
)
def test_wrong_options_are_named(bad):
    with pytest.raises(ValueError, match="must be"):
        FleetOptions(**bad)


def test_constants_of_a_workload_do_not_depend_on_how_many_there_are():
    few, many = FleetOptions(n_workloads=2), FleetOptions(n_workloads=40)
    assert [draw_workload(few, i) for i in range(2)] == [draw_workload(many, i) for i in range(2)]
    draws = [draw_workload(many, i) for i in range(40)]
    assert len({draw.name for draw in draws}) == 40
    for draw in draws:
        low, high = draw.profile.lag_s
        assert low <= draw.lag_s <= high
        assert 240.0 <= draw.lead_s <= 900.0
        capacity = draw.hardware[2]
        assert draw.mean_rps * draw.work_per_request == pytest.approx(draw.mean_replicas * capacity)
