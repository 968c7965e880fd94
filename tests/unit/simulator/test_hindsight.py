"""Rivals at other settings."""

from __future__ import annotations

import pytest

from services.simulator import run_rivals
from services.simulator.hindsight import MARGIN_STEPS, TARGET_FACTORS


@pytest.mark.slow
def test_both_rivals_are_tried_around_what_history_chose(fleet):
    assert run_rivals(fleet, epsilon=0.02, seed=7).tried == ()
    rivals = run_rivals(fleet, epsilon=0.02, seed=7, with_hindsight=True)
    names = [one.policy for one in rivals.tried]
    assert set(names) == {"hpa", "trailing_percentile"}
    assert names.count("hpa") <= len(TARGET_FACTORS)
    assert names.count("trailing_percentile") == len(MARGIN_STEPS)
    assert len({(one.policy, one.setting) for one in rivals.tried}) == len(names)
    deployed = {s.name: s.setting for s in rivals.scores}
    assert all(one.setting != deployed[one.policy] for one in rivals.tried)


def test_a_larger_margin_holds_more_and_misses_less_while_there_are_gpus(fleet):
    tried = run_rivals(fleet, epsilon=0.02, seed=7, with_hindsight=True).tried
    runs = [one.run for one in tried if one.policy == "trailing_percentile"]
    held = [float(run.gpu_s.sum()) for run in runs]
    assert held == sorted(held)
    gpus = sum(pool.n_nodes * pool.gpus_per_node for pool in fleet.node_pools())
    most = [float(run.gpu_s.sum(axis=0).max()) / fleet.step_s for run in runs]
    missed = [float(run.violation_s.sum()) for run in runs]
    assert missed[0] > missed[1] > missed[2] == 0.0
    for before, after, at_most in zip(missed, missed[1:], most[1:], strict=False):
        assert after <= before or at_most >= gpus  # only a full cluster takes from others
