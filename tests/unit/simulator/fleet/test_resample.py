"""Series of a trace on the step grid."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from services.simulator.fleet import TraceError, TraceOptions
from services.simulator.fleet.resample import resampled
from services.simulator.fleet.trace_file import TraceSeries
from services.simulator.measurements import load_trace
from tests.unit.simulator.fleet.traces import SHORT, START, write


class TestResampling:
    def test_flows_add_up_and_levels_average(self, tmp_path):
        path = write(tmp_path, {"a": np.arange(300.0)})
        options = TraceOptions(step_s=300, replay_hours=1, min_history_steps=20)
        fleet = load_trace(path, options).fleet
        np.testing.assert_allclose(fleet.values[0, 0], [0 + 1 + 2 + 3 + 4, 2.0])
        assert fleet.n_steps == 60

    def test_steps_begin_on_the_epoch_grid(self, tmp_path):
        path = write(tmp_path, {"a": np.arange(300.0)}, start=START + timedelta(seconds=120))
        options = TraceOptions(step_s=300, replay_hours=1, min_history_steps=20)
        fleet = load_trace(path, options).fleet
        assert fleet.step_at(0) == START + timedelta(seconds=300)
        # minutes 0-2 of the file are before the grid: the first step holds values 3..7
        assert fleet.values[0, 0, 1] == 5.0

    def test_a_partly_known_step_is_known_from_half_on(self, tmp_path):
        values = np.full(300, 4.0)
        values[::7] = 5.0
        values[0:2] = np.nan  # 3 of 5 known
        values[5:8] = np.nan  # 2 of 5 known
        options = TraceOptions(step_s=300, replay_hours=1, min_history_steps=20)
        fleet = load_trace(write(tmp_path, {"a": values}), options).fleet
        assert fleet.observed[0, 0].all()
        assert fleet.values[0, 0, 0] == pytest.approx(5 * np.mean(values[2:5]))
        assert not fleet.observed[0, 1].any()
        assert np.isnan(fleet.demand[0, 1])

    def test_a_finer_step_is_refused(self, tmp_path, wavy):
        with pytest.raises(TraceError, match="multiple"):
            load_trace(write(tmp_path, wavy), TraceOptions(step_s=90))


def test_a_grid_off_the_epoch_is_shifted_with_a_note(tmp_path, wavy):
    path = write(tmp_path, wavy, interval_s=57, start=START + timedelta(seconds=5))
    fleet = load_trace(path, SHORT).fleet
    assert fleet.start_s % 57 == 0
    assert any("shifted" in note for note in fleet.notes)


def test_a_workload_of_longer_intervals_is_known_by_its_own() -> None:
    """One row each five minutes in a file of minutes: levels stay, flows of 300 s add up."""
    rows = np.array([[300.0, 5.0], [600.0, 7.0], [900.0, 9.0]])
    own = TraceSeries("slow", np.array([0, 300, 600]), rows, interval_s=300)
    is_flow = np.array([True, False])
    five = resampled(own, 60, 300, is_flow)
    assert five.values.tolist() == rows[:2].tolist()
    assert five.interval_s == 300
    twice = np.concatenate([rows, [[np.nan, np.nan]]])
    ten = resampled(replace(own, time_s=np.arange(4) * 300, values=twice), 60, 600, is_flow)
    assert ten.values.tolist() == [[900.0, 6.0]]
