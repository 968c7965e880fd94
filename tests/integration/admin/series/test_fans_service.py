"""Fans at several origins."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.admin.app_client import AppClient
from tests.integration.admin.llama_api import FORECASTS
from tests.integration.admin.seeded_fleet import NOW, Seeded
from tests.integration.admin.seeded_rows import STEP_S

pytestmark = pytest.mark.integration


def test_fans_at_several_origins_share_one_course_of_demand(
    viewer: AppClient, seeded: Seeded
) -> None:
    query = {"n_origins": 3, "every_steps": 6, "n_context": 4}
    found = viewer.get(f"{FORECASTS}/fans", params=query).json()
    step = timedelta(seconds=STEP_S)
    newest = seeded.origins[-1]
    expected = [(newest - step * k).isoformat().replace("+00:00", "Z") for k in (12, 6, 0)]
    assert [fan["origin_at"] for fan in found["fans"]] == expected
    for fan in found["fans"]:
        assert len(fan["step_at"]) == len(fan["quantiles"][0]) == 12
        assert fan["step_at"][0] > fan["origin_at"]
        single = viewer.get(FORECASTS, params={"origin_at": fan["origin_at"]}).json()
        assert single["quantiles"] == fan["quantiles"]
    first = newest - step * (12 + 3)
    assert found["observed"]["step_at"][0] == first.isoformat().replace("+00:00", "Z")
    assert len(found["observed"]["step_at"]) == 16  # to the last step that has been measured


def test_fans_at_origins_that_are_named(viewer: AppClient, seeded: Seeded) -> None:
    chosen = [seeded.origins[k].isoformat() for k in (3, 30)]
    missing = (NOW + timedelta(days=3)).isoformat()
    found = viewer.get(f"{FORECASTS}/fans", params={"origin_at": [*chosen, missing]}).json()
    assert [fan["id"] % 100_000 for fan in found["fans"]] == [3, 30]
    assert viewer.get(f"{FORECASTS}/fans", params={"origin_at": missing}).status_code == 404
    far = [chosen[0], (NOW - timedelta(days=300)).isoformat()]
    assert viewer.get(f"{FORECASTS}/fans", params={"origin_at": far}).status_code == 422
    early = {"to_at": (NOW - timedelta(days=9)).isoformat()}
    assert viewer.get(f"{FORECASTS}/fans", params=early).status_code == 404
