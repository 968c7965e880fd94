"""The summary: what is compared at the promise, and what cannot be."""

from __future__ import annotations

import pytest

from services.lab.bench.supply.options import CRON, HEADROOM, HPA
from services.lab.bench.supply.run import SupplyCell
from services.lab.bench.supply.score import score_cell, summary
from services.simulator.policies.rivals import HARMONY
from tests.unit.lab.bench.supply.small import setting

KEYS = [
    "promised",
    "true_rate",
    "held_scale_ups",
    "node_hours_vs_best_headroom",
    "node_hours_vs_hpa",
    "node_hours_vs_best_rival",
    "lead_time_coverage_90",
]
OWN = (
    setting(HARMONY, 0.004, 120.0, promise=0.003, n_held=9, lead_times=(10, 1)),
    setting(HARMONY, 0.010, 90.0, promise=0.01, n_held=2, lead_times=(10, 9)),
)


def cell(*settings, source="made"):
    return SupplyCell(source, 7, 120.0, settings)


def test_the_summary_has_the_figures_that_targets_are_about_and_no_others() -> None:
    rivals = (
        setting(HPA, 0.001, 180.0),
        setting(HPA, 0.02, 50.0),
        setting(HEADROOM, 0.01, 100.0),
        setting(HEADROOM, 0.01, 130.0),
    )
    found = summary([cell(*rivals, *OWN)])
    assert list(found) == KEYS
    assert found["promised"] == found["true_rate"] == 0.01
    assert found["held_scale_ups"] == 2
    assert found["node_hours_vs_best_headroom"] == pytest.approx(0.9)
    assert 0.5 < found["node_hours_vs_hpa"] < 1.8
    assert found["lead_time_coverage_90"] == 0.9


def test_the_cheapest_setting_within_the_promise_counts() -> None:
    score = score_cell(cell(setting(HPA, 0.01, 150.0), setting(HPA, 0.01, 110.0), *OWN))
    assert score.node_hours[HPA] == 110.0
    assert score.over(HPA) == pytest.approx(90.0 / 110.0)
    assert score.told is OWN[1]


def test_who_does_not_reach_the_promise_is_not_compared_with() -> None:
    missed = cell(setting(HPA, 0.05, 10.0), *OWN)
    kept = cell(setting(HPA, 0.01, 180.0), *OWN, source="servegen")
    assert score_cell(missed).over(HPA) is None
    assert summary([missed, kept])["node_hours_vs_hpa"] == pytest.approx(0.5)
    assert summary([missed])["node_hours_vs_hpa"] is None
    assert summary([missed])["node_hours_vs_best_headroom"] is None


def test_the_best_rival_is_another_one_in_each_run() -> None:
    cron = cell(setting(HPA, 0.01, 150.0), setting(CRON, 0.01, 60.0), *OWN)
    hpa = cell(setting(HPA, 0.01, 45.0), setting(CRON, 0.01, 60.0), *OWN)
    missed = cell(setting(HPA, 0.01, 180.0), setting(CRON, 0.05, 10.0), *OWN)
    found = [summary([one])["node_hours_vs_best_rival"] for one in (cron, hpa, missed)]
    assert found == [pytest.approx(1.5), pytest.approx(2.0), pytest.approx(0.5)]
    assert summary([cron, hpa])["node_hours_vs_best_rival"] == pytest.approx(3.0**0.5)
    assert summary([cell(*OWN)])["node_hours_vs_best_rival"] is None


def test_without_harmony_there_is_nothing_to_sum_up() -> None:
    found = summary([cell(setting(CRON, 0.01, 10.0))])
    assert found["promised"] == 0.01
    assert [found[key] for key in KEYS[1:]] == [None] * 6


def test_figures_of_several_runs_are_means_and_sums() -> None:
    other = setting(HARMONY, 0.02, 90.0, promise=0.01, n_held=5, lead_times=(30, 21))
    found = summary([cell(*OWN), cell(OWN[0], other)])
    assert found["true_rate"] == pytest.approx(0.015)
    assert found["held_scale_ups"] == 7
    assert found["lead_time_coverage_90"] == pytest.approx(0.75)
