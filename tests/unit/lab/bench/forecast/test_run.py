from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from forecaster.config import ForecasterConfig, ModelConfig, TrainConfig
from services.cli.application import app
from services.kernel.clock import make_rng
from services.kernel.errors import InvalidInput
from services.lab.bench.forecast.arms import ARMS, GROUPS, chosen
from services.lab.bench.forecast.own_arms import FittedCold, ModelArm, SimpleArm
from services.lab.bench.forecast.report import (
    load_documents,
    markdown,
    plot_reliability,
    summary_rows,
    table_rows,
)
from services.lab.bench.forecast.run import bench_forecast
from services.lab.bench.forecast.shipped_arm import ShippedArm
from services.lab.bench.forecast.task import BenchTask, Protocol
from tests.few_trees import FEW_TREES

SMALL = ForecasterConfig(
    model=ModelConfig(width=16, hidden=24, heads=2, flow_hidden=8, flow_context=4),
    train=TrainConfig(
        max_windows=300, max_validation_windows=100, batch=64, epochs=1, flow_epochs=1
    ),
    trees=FEW_TREES,
)
FIGURES = {
    *("crps", "mse", "crps_demand", "crps_by_indicator", "crps_by_workload", "coverage"),
    *("path_max_pinball99", "path_sum_crps", "variogram", "train_s", "infer_ms_per_window"),
    "params",
}


@pytest.fixture(scope="module")
def document(task: BenchTask) -> dict:
    arms = {"model": ModelArm(SMALL), "best_simple": SimpleArm(), "blend": SimpleArm("blend")}
    return bench_forecast(task, arms, (7, 8), lambda _line: None).to_json()


def test_every_forecaster_has_the_promised_figures(document: dict) -> None:
    assert document["protocol"] == "panel"
    assert document["seeds"] == [7, 8]
    for figures in document["models"].values():
        assert set(figures) >= FIGURES
        assert set(figures["coverage"]) == {"0.5", "0.8", "0.95", "0.99"}
        assert len(figures["crps_by_seed"]) == 2
    json.dumps(document, allow_nan=False)


def test_seeds_repeat_the_training_and_leave_simple_forecasters_alone(document: dict) -> None:
    first, second = document["models"]["model"]["crps_by_seed"]
    assert first != second
    first, second = document["models"]["blend"]["crps_by_seed"]
    assert first == second


def test_best_simple_is_no_worse_than_its_members_on_validation(task: BenchTask) -> None:
    fitted = SimpleArm().fit(task, 7, lambda _line: None)
    assert set(fitted.picks[:, 0]) <= set(ARMS)


def test_answers_read_only_the_past(task: BenchTask) -> None:
    origins = task.test_origins().take(np.array([3]))
    cut = int(origins.position[0]) + 1
    one = task.series[origins.which[0]]
    values = one.values.copy()
    values[cut:] = 1e6
    changed = list(task.series)
    changed[origins.which[0]] = replace(one, values=values)
    other = replace(task, series=tuple(changed))
    for arm in (ModelArm(SMALL), SimpleArm()):
        fitted = arm.fit(task, 7, lambda _line: None)
        before = fitted.predict(task, origins, 5, make_rng(1, "x"))
        after = fitted.predict(other, origins, 5, make_rng(1, "x"))
        np.testing.assert_array_equal(before.quantiles, after.quantiles)


def test_all_targets_of_the_paper_protocol_are_forecast(
    tmp_path: Path, small_task: Callable[..., BenchTask]
) -> None:
    task = small_task(tmp_path, Protocol.FISHER_H1)
    fitted = ModelArm(SMALL).fit(task, 7, lambda _line: None)
    origins = task.test_origins().take(np.arange(4))
    found = fitted.predict(task, origins, 10, make_rng(1, "x"))
    assert found.quantiles.shape == (4, 2, 19, 1)
    assert np.isfinite(found.quantiles).all()


def test_what_would_be_served_is_corrected_online_and_never_reads_ahead(task: BenchTask) -> None:
    fitted = ShippedArm(SMALL).fit(task, 7, lambda _line: None)
    origins = task.test_origins()
    found = fitted.predict(task, origins, 20, make_rng(1, "x"))
    raw = fitted.model.predict(task, origins, 20, make_rng(1, "x"))
    assert (np.diff(found.quantiles, axis=2) >= 0).all()
    assert not np.array_equal(found.quantiles, raw.quantiles)
    assert found.paths is not None
    # An outcome of the future changes nothing that was said before its horizon had passed.
    last = int(origins.position[origins.which == 0].max())
    one = task.series[0]
    values = one.values.copy()
    values[last + 1 :] = 1e6
    other = replace(task, series=(replace(one, values=values), *task.series[1:]))
    again = fitted.predict(other, origins, 20, make_rng(1, "x"))
    np.testing.assert_array_equal(found.quantiles, again.quantiles)


def test_a_cold_workload_is_forecast_from_its_newest_steps_alone(task: BenchTask) -> None:
    fitted = FittedCold(ModelArm(SMALL).fit(task, 7, lambda _line: None), 48)
    origins = task.test_origins().take(np.array([3]))
    one = task.series[origins.which[0]]
    values = one.values.copy()
    values[: int(origins.position[0]) + 1 - 48] = 1e6
    changed = list(task.series)
    changed[origins.which[0]] = replace(one, values=values)
    other = replace(task, series=tuple(changed))
    before = fitted.predict(task, origins, 5, make_rng(1, "x"))
    after = fitted.predict(other, origins, 5, make_rng(1, "x"))
    np.testing.assert_array_equal(before.quantiles, after.quantiles)
    warm = fitted.warm.predict(task, origins, 5, make_rng(1, "x"))
    assert not np.array_equal(before.quantiles, warm.quantiles)


def test_names_and_groups() -> None:
    assert list(chosen("model, best_simple")) == ["model", "best_simple"]
    assert set(chosen("ablations")) == set(GROUPS["ablations"])
    assert set(chosen("all")) == set(ARMS)
    with pytest.raises(InvalidInput, match="'arima' is unknown; known: "):
        chosen("model,arima")


def test_the_summary_sets_a_model_against_the_best_peer(document: dict, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    rows = summary_rows(load_documents([path]), "model")
    models = document["models"]
    best = min(("best_simple", "blend"), key=lambda name: models[name]["crps"])
    assert rows[0]["best peer"] == best
    expected = models["model"]["crps"] / models[best]["crps"]
    assert rows[-1]["ratio"] == f"{expected:.3f}"
    assert markdown(rows).splitlines()[1].count("---") == len(rows[0])
    with pytest.raises(InvalidInput, match="needs 'harmony'"):
        summary_rows(load_documents([path]), "harmony")


def test_a_document_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[]")
    with pytest.raises(InvalidInput, match="no benchmark document"):
        load_documents([path])


def test_the_reliability_diagram_is_drawn(document: dict, tmp_path: Path) -> None:
    plot_reliability(document, tmp_path / "r.png")
    assert (tmp_path / "r.png").stat().st_size > 10_000
    assert [row["model"] for row in table_rows(document)] == list(document["models"])


def test_the_command_writes_the_document(tmp_path: Path, write_trace: Callable[..., Path]) -> None:
    path = write_trace(tmp_path)
    out = tmp_path / "out.json"
    arguments = ["bench", "forecast", "--data", str(path), "--models", "best_simple,blend"]
    result = CliRunner().invoke(app, [*arguments, "--json", str(out)])
    assert result.exit_code == 0, result.output
    assert set(json.loads(out.read_text())["models"]) == {"best_simple", "blend"}


def test_the_details_need_no_harmony_and_print_as_markdown(document: dict, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    arguments = ["bench", "forecast-summary", str(path), "--detail", "--markdown"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "| best_simple | " in result.output


def test_an_unknown_protocol_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["bench", "forecast", "--data", "x.parquet", "--protocol", "fisher"]
    )
    assert isinstance(result.exception, InvalidInput)
    assert "must be one of fisher-h1, fisher-h12, panel" in str(result.exception)
