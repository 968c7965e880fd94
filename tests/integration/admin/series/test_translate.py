"""Forecasts beside what came."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.admin.llama_api import LLAMA

pytestmark = pytest.mark.integration


def test_forecasts_ahead_line_up_with_what_came(viewer, seeded) -> None:
    ahead = viewer.get(f"{LLAMA}/forecasts/ahead", params={"n_ahead": 3}).json()
    at = [seeded.origins[0] + timedelta(seconds=300 * k) for k in range(48 + 1)]
    assert ahead["step_at"][0] == at[0].isoformat().replace("+00:00", "Z")
    assert ahead["quantiles"][0][:3] == [None] * 3  # nothing was forecast three steps before these
    assert all(value is not None for value in ahead["quantiles"][4][3:])
    origin = ahead["step_at"][10 - 3]
    fan = viewer.get(f"{LLAMA}/forecasts", params={"origin_at": origin}).json()
    assert [row[10] for row in ahead["quantiles"]] == [row[2] for row in fan["quantiles"]]
    assert ahead["demand"][10] == pytest.approx(fan["observed"]["demand"][-10], rel=1e-6)


@pytest.mark.parametrize("level", ["nan", "inf", "0", "1", "-0.5", "95"])
def test_a_level_is_a_share_between_0_and_1(viewer, seeded, level: str) -> None:
    """Of 95, meant in percent, there came a row of nulls; of nan a level that was null."""
    answer = viewer.get(f"{LLAMA}/forecasts/ahead", params={"level": level})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "query.level.0"
