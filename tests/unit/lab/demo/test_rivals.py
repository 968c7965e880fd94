"""Services are judged by what requests felt, where that is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.lab.demo.rivals import SharedDay, by_service, judge_rivals, rival_frontiers
from services.simulator import draw_served_fleet, run_rivals
from services.simulator.fleet import FleetOptions, generate_fleet, with_pools


@pytest.fixture(scope="module")
def day() -> SharedDay:
    """Three services of which one has two pools: two days of history, two hours to replay."""
    options = FleetOptions(seed=3, n_workloads=3, step_s=600, n_history=288, n_replay=12)
    scaled = with_pools(generate_fleet(options))
    return SharedDay(scaled, draw_served_fleet(scaled), 0.01)


def test_services_are_judged_by_what_requests_felt_or_by_what_is_stated(day: SharedDay) -> None:
    targets = day.scaled.targets
    found = run_rivals(targets, epsilon=day.epsilon, seed=targets.seed)
    felt = by_service(day, found.scores, found.runs)
    stated = by_service(replace(day, served=None), found.scores, found.runs)
    for by_felt, by_stated, by_target in zip(felt, stated, found.scores, strict=True):
        assert by_felt.workload_violation_rate.size == day.scaled.services.n_workloads
        assert by_felt.believed_violation_rate == by_stated.violation_rate
        assert by_stated.believed_violation_rate is None
        assert by_felt.cost_usd == pytest.approx(by_target.cost_usd)


def test_the_rivals_that_are_tuned_are_read_at_several_settings(day: SharedDay) -> None:
    found = judge_rivals(day)
    assert [one.policy for one in found.frontiers] == ["hpa", "trailing_percentile"]
    assert all(len(one.settings) > 5 for one in found.frontiers)
    assert len(found.scores) == len(found.by_target) == 4


def test_rivals_are_judged_at_other_settings_as_they_are_as_deployed() -> None:
    wanted = FleetOptions(seed=3, n_workloads=2, step_s=600, n_history=300, n_replay=24)
    scaled = with_pools(generate_fleet(wanted))
    rivals = run_rivals(scaled.targets, epsilon=0.01, seed=3, with_hindsight=True)
    served = draw_served_fleet(scaled)
    for truth in (None, served):
        frontiers = rival_frontiers(rivals.scores, rivals.tried, scaled, truth, 0.01)
        assert [one.policy for one in frontiers] == ["hpa", "trailing_percentile"]
        for one in frontiers:
            deployed = next(s for s in rivals.scores if s.name == one.policy)
            assert one.settings[0] == deployed.setting
            assert one.cost_usd[0] == pytest.approx(deployed.cost_usd)
            assert one.rate.size == len(one.settings) > 3
            assert np.all((one.rate >= 0) & (one.rate <= 1))
