"""All races of a trace, from the command's options to its document."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import pytest
from typer.testing import CliRunner

from forecaster.predict import TrainedModel
from services.cli.application import app, main
from services.forecasting.registry.shipped import shipped_prior
from services.lab.bench.decide.forecasts import Forecasts
from services.lab.bench.forecast import own_arms
from services.lab.bench.forecast.task import BenchTask
from services.lab.bench.race import series
from services.lab.bench.race.arms import ForecastSource
from services.lab.bench.race.course import RaceGrid, make_race_task
from services.lab.bench.race.series import RacePlan
from tests.unit.lab.bench.decide.small_runs import noisy_forecasts

RACE = ["bench", "race", "--max-test-steps", "40", "--risk", "0.05"]


def said(
    trace: BenchTask, grid: RaceGrid, plan: RacePlan, *_: object
) -> dict[ForecastSource, Forecasts]:
    """Honest forecasts without training."""
    task = make_race_task(trace, grid, max(plan.leads_s), plan.options, 7).decide
    return {ForecastSource.ISSUED: noisy_forecasts(task)}


def raced(trace: Path, file: Path, *options: str) -> list[dict]:
    given = [*RACE, "--data", str(trace), *options, "--json", str(file)]
    with patch.object(series, "forecasts_of", said):
        result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    return json.loads(file.read_text())["races"]


@pytest.mark.slow
def test_both_bridges_each_seed_and_each_lead_time_are_raced(write_trace, tmp_path):
    few = ("--policies", "hpa,trailing_percentile", "--lead", "1m,10m", "--seeds", "2")
    found = raced(write_trace(tmp_path), tmp_path / "race.json", *few, "--rivals-only")
    assert {(one["bridge"], one["seed"], one["lead_s"]) for one in found} == {
        (bridge, seed, lead)
        for bridge in ("walk", "jump")
        for seed in (7, 8)
        for lead in (60.0, 600.0)
    }
    promise = found[0]["promises"]["0.05"]
    assert set(promise["policies"]) == {"hpa", "trailing_percentile"}
    assert promise["best_rival"]["cost"] > 0.9
    assert promise["own"] == promise["deployed"] == {}


def test_a_step_is_refused_where_the_trace_has_coarser_ones(
    write_trace, tmp_path, monkeypatch, capsys
):
    given = ["--data", str(write_trace(tmp_path)), "--step", "5m", "--rivals-only"]
    monkeypatch.setattr("sys.argv", ["harmony", *RACE, *given])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("harmony: --step=300s: must be left out")
    assert "steps of 600 s" in line


def test_every_file_is_read_before_the_first_race(write_trace, tmp_path):
    files = ["--data", str(write_trace(tmp_path)), "--data", str(tmp_path / "none.parquet")]
    with patch.object(series, "race_data", side_effect=AssertionError("raced")):
        result = CliRunner().invoke(app, [*RACE, *files, "--rivals-only"])
    assert "no file at" in str(result.exception)


def test_the_traces_own_step_may_be_stated():
    plan = RacePlan((600.0,), step_s=600.0, bridges=("walk",))
    assert [grid.step_s for grid, _ in plan.grids(600.0)] == [600.0]
    assert [grid.step_s for grid, _ in plan.grids(60.0)] == [600.0]


@pytest.mark.parametrize("option", ["--prior", "--no-prior"])
def test_fits_begin_with_the_shipped_prior_unless_told_not_to(write_trace, tmp_path, option):
    class Asked(Exception):
        """The fit was asked for."""

    def fit(*_: object, prior: TrainedModel | None, **__: object) -> None:
        raise Asked(None if prior is None else prior.version)

    options = ("--policies", "hpa", "--lead", "2m", "--seeds", "1", "--bridges", "walk", option)
    with patch.object(own_arms, "fit", fit):
        given = [*RACE, "--data", str(write_trace(tmp_path)), *options]
        result = CliRunner().invoke(app, given)
    assert isinstance(result.exception, Asked)
    begins = shipped_prior().version if option == "--prior" else None
    assert result.exception.args == (begins,)


@pytest.mark.slow
def test_harmony_races_at_equal_violation_and_unserved_demand_and_as_deployed(
    write_trace, tmp_path
):
    options = ("--policies", "hpa,keda", "--lead", "2m", "--seeds", "1", "--bridges", "walk")
    (found,) = raced(write_trace(tmp_path), tmp_path / "race.json", *options)
    promise = found["promises"]["0.05"]
    own, best = promise["own"]["harmony"], promise["best_rival"]
    cost = promise["policies"]["harmony"]["matched"]
    assert own["ratio"] == pytest.approx(cost / best["cost"], rel=1e-4)
    assert own["closed"] == pytest.approx((best["cost"] - cost) / (best["cost"] - 1), rel=1e-3)
    assert own["rival_at_unserved"] in ("hpa", "keda")
    assert promise["deployed"]["harmony"]["cost"] > 0.9
    assert set(promise["own"]) == {"harmony", "harmony_fast", "forecast_quantile"}
