"""Who races, and how often each decides."""

from __future__ import annotations

import pytest

from services.lab.bench.race.entrants import race_rivals
from services.simulator.policies.rivals import rivals


def test_every_rival_races_and_keda_too():
    assert set(race_rivals(60.0, 120.0, 15.0)) == {*rivals(60.0), "keda"}


@pytest.mark.parametrize(
    ("sub_s", "finest_s", "cadences"),
    [
        (60.0, 2.0, {"hpa": 15, "keda": 15, "kpa": 2, "trailing_percentile": 60}),
        (60.0, 15.0, {"kpa": 15, "dynamo_arima": 180}),
        (30.0, 15.0, {"hpa": 15, "keda": 15, "autopilot_mw": 60, "dynamo_kalman": 180}),
        (57.0, 15.0, {"hpa": 15, "trailing_percentile": 57, "dynamo_constant": 171}),
        (600.0, 600.0, {"hpa": 600, "dynamo_constant": 600}),
    ],
)
def test_cadences_are_native_and_fit_the_sub_steps(sub_s, finest_s, cadences):
    found = race_rivals(sub_s, 120.0, finest_s)
    assert {name: found[name].cadence_s for name in cadences} == cadences


def test_the_two_strongest_have_finer_grids():
    found = race_rivals(60.0, 120.0, 15.0)
    sizes = {name: one.policy.n_settings for name, one in found.items()}
    strong = {sizes.pop("trailing_percentile"), sizes.pop("ray_serve")}
    assert max(sizes.values()) <= 48 < min(strong)


def test_the_line_of_predictive_hpa_looks_as_far_ahead_as_a_start_takes():
    labels = race_rivals(60.0, 120.0, 15.0)["phpa_linear"].policy
    assert {120.0, 240.0} == set(labels.look_ahead_s)


@pytest.mark.parametrize(
    ("sub_s", "lead_s", "sizes"),
    [
        (60.0, 30.0, {24, 48}),
        (60.0, 120.0, {24, 48}),
        (60.0, 600.0, {40, 160}),
        (15.0, 30.0, {6, 12}),
        (600.0, 600.0, {240, 480}),
    ],
)
def test_its_points_span_the_time_it_looks_ahead_and_several_new_values(sub_s, lead_s, sizes):
    line = race_rivals(sub_s, lead_s, 15.0)["phpa_linear"]
    assert set(line.policy.history_size) == sizes
    assert min(sizes) * line.cadence_s >= lead_s
