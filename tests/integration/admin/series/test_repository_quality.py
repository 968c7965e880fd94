"""Scores of forecasts, averaged."""

from __future__ import annotations

import orjson
import pytest
from sqlalchemy import Engine, text

from tests.integration.admin.app_client import AppClient
from tests.integration.admin.llama_api import FORECASTS

pytestmark = pytest.mark.integration


@pytest.mark.usefixtures("seeded")
def test_many_scores_are_averaged_over_a_sample(
    viewer: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = FORECASTS.replace("forecasts", "quality")
    (whole,) = viewer.get(path).json()
    monkeypatch.setattr("services.admin.series.service.QUALITY_SAMPLE", 10)
    (sample,) = viewer.get(path).json()
    assert (whole["n_forecasts"], sample["n_forecasts"]) == (48, 10)
    assert sample["coverage"] == whole["coverage"]


@pytest.mark.usefixtures("seeded")
def test_forecasts_without_an_observed_outcome_are_no_perfect_ones(
    viewer: AppClient, database: Engine
) -> None:
    path = FORECASTS.replace("forecasts", "quality")
    (before,) = viewer.get(path).json()
    unscored = (
        "UPDATE forecast_scores SET n_steps = 0, crps = 0, crps_last_value = 0, pinball = '{}', "
        "coverage = '{}', skill_vs_last_value = NULL WHERE forecast_id % 2 = 0"
    )
    with database.begin() as connection:
        connection.execute(text(unscored))
    (after,) = viewer.get(path).json()
    assert after["n_forecasts"] == before["n_forecasts"] / 2
    for name in ("crps", "crps_last_value", "skill_vs_last_value"):
        assert after[name] == pytest.approx(before[name], rel=0.2)


@pytest.mark.usefixtures("seeded")
def test_where_the_last_value_was_not_known_nothing_is_compared_with_it(
    viewer: AppClient, database: Engine
) -> None:
    path = FORECASTS.replace("forecasts", "quality")
    (before,) = viewer.get(path).json()
    unknown = (
        "UPDATE forecast_scores SET crps = 10, crps_last_value = NULL, "
        "skill_vs_last_value = NULL WHERE forecast_id % 2 = 0"
    )
    with database.begin() as connection:
        connection.execute(text(unknown))
    (after,) = viewer.get(path).json()
    assert after["n_forecasts"] == before["n_forecasts"]
    assert after["crps"] > before["crps"]
    for name in ("crps_last_value", "skill_vs_last_value"):
        assert after[name] == pytest.approx(before[name])


@pytest.mark.usefixtures("seeded")
def test_a_last_value_that_was_never_known_is_null(viewer: AppClient, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text("UPDATE forecast_scores SET crps_last_value = NULL, skill_vs_last_value = NULL")
        )
    (after,) = viewer.get(FORECASTS.replace("forecasts", "quality")).json()
    assert (after["crps_last_value"], after["skill_vs_last_value"]) == (None, None)
    assert after["n_forecasts"] == 48


@pytest.mark.usefixtures("seeded")
def test_quality_says_how_much_the_last_value_weighs(viewer: AppClient, database: Engine) -> None:
    path = FORECASTS.replace("forecasts", "quality")
    (before,) = viewer.get(path).json()
    assert (before["hedge_weight_body"], before["hedge_weight_tail"]) == (None, None)
    state = {"hedge": {"weight": {"body": 0.0612345678, "tail": 0.25}}}
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO calibration_states (workload_id, model_version, state, updated_at) "
                "SELECT id, :version, :state, now() FROM workloads WHERE name = 'llama-70b-chat'"
            ),
            {"version": before["model_version"], "state": orjson.dumps(state).decode()},
        )
    (after,) = viewer.get(path).json()
    assert (after["hedge_weight_body"], after["hedge_weight_tail"]) == (0.06123457, 0.25)
    assert after["coverage"] == before["coverage"]
