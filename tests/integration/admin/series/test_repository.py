"""Time series as they are read."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.integration.admin.llama_api import LLAMA

pytestmark = pytest.mark.integration


def test_the_forecast_that_was_decided_upon_wins_over_a_shadow(viewer, seeded, database) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO forecasts SELECT 999999 AS id, origin_at, workload_id, 'shadow-1', "
                "rung, reason, step_s, n_horizon, quantile_levels, quantiles, n_paths, paths, "
                "path_scale, created_at FROM forecasts WHERE id = 100047"
            )
        )
    assert viewer.get(f"{LLAMA}/forecasts").json()["model_version"] == "harmony-flow-3"
    ahead = viewer.get(f"{LLAMA}/forecasts/ahead").json()
    assert len(ahead["step_at"]) == len(set(ahead["step_at"]))
