"""Scenarios of the demo: generated fleets and traces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.demo.scenario import load_fleet
from services.simulator import draw_served_fleet
from tests.unit.lab.demo.demo_options import options
from tests.unit.simulator.fleet.traces import write


def test_a_generated_fleet_has_the_length_asked_for() -> None:
    wanted = options(n_workloads=2, hours=3.0)
    scaled = load_fleet(wanted)
    fleet = scaled.services
    assert fleet.n_workloads == 2
    assert scaled.pools == ("decode", "", "prefill")
    assert fleet.n_replay == 3 * 3600 // wanted.step_s
    assert fleet.n_history == wanted.history_days * 86_400 / wanted.step_s
    assert fleet.has_closed_loop
    assert {workload.epsilon for workload in fleet.workloads} == {wanted.epsilon}


def test_a_trace_is_resampled_and_cut_to_the_first_workloads(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    series = {f"svc/{k}": rng.uniform(2, 8, 3000) for k in "abc"}
    wanted = options(data=write(tmp_path, series), step_s=300, n_workloads=2)
    scaled = load_fleet(wanted)
    fleet = scaled.services
    assert not any(scaled.pools)
    assert (fleet.n_workloads, fleet.step_s, fleet.n_replay) == (2, 300, 24)
    assert fleet.demand.shape[0] == fleet.values.shape[0] == fleet.observed.shape[0] == 2
    assert "the first 2 of 3 workloads; see --workloads" in fleet.notes


def test_a_step_that_was_asked_for_and_cannot_be_is_refused(tmp_path: Path) -> None:
    """It gave way to the trace's own without a word."""
    rng = np.random.default_rng(5)
    data = write(tmp_path, {"svc/a": rng.uniform(2, 8, 3000)}, interval_s=600)
    assert load_fleet(options(data=data, step_s=None)).services.step_s == 600
    assert load_fleet(options(data=data, step_s=1200)).services.step_s == 1200
    with pytest.raises(InvalidInput, match=r"^--data=.*: step 300 s: .* an interval of 600 s"):
        load_fleet(options(data=data, step_s=300))


def test_a_workload_left_out_is_noted(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    series = {"svc/a": rng.uniform(2, 8, 3000), "svc/flat": np.full(3000, 3.0)}
    fleet = load_fleet(options(data=write(tmp_path, series))).services
    assert fleet.n_workloads == 1
    assert any(note.startswith("svc/flat left out: constant demand") for note in fleet.notes)


def test_real_demand_has_no_gaps_in_its_truth_and_shows_those_of_its_meters() -> None:
    scaled = load_fleet(options(is_generated=False, is_quick=False, hours=24.0))
    fleet = scaled.services
    assert (fleet.step_s, fleet.n_replay) == (600, 144)
    assert fleet.n_workloads == 22
    assert np.isfinite(fleet.demand).all()
    seen = fleet.observed[:, :, 0]
    assert 0.01 < 1 - seen.mean() < 0.05
    assert any(note.startswith("2.6% of the demand was not measured") for note in fleet.notes)
    # what was measured is the truth, gap or not
    assert np.array_equal(fleet.demand[seen], fleet.values[:, :, 0][seen])
    requests = draw_served_fleet(scaled).requests
    assert np.isfinite(requests).all()


def test_real_demand_without_enough_history_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="real demand: servegen is too short"):
        load_fleet(options(is_generated=False, step_s=3600, hours=168.0))


def test_a_trace_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    short = write(tmp_path, {"svc/a": [1.0, 2.0, 3.0]})
    with pytest.raises(InvalidInput, match=r"--data=.*t\.parquet: .*too short"):
        load_fleet(options(data=short))
