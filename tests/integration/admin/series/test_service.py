"""One workload's fan chart and series."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import text

from tests.integration.admin.llama_api import LLAMA

pytestmark = pytest.mark.integration


def test_fan_chart(viewer, seeded) -> None:
    fan = viewer.get(f"{LLAMA}/forecasts", params={"n_context": 40}).json()
    assert fan["origin_at"] == "2026-01-06T11:55:00Z"
    assert fan["step_at"][0] == "2026-01-06T12:00:00Z"
    assert len(fan["step_at"]) == 12
    assert len(fan["quantiles"]) == len(fan["quantile_levels"]) == 9
    assert fan["quantile_levels"][0] == 0.01
    for column in zip(*fan["quantiles"], strict=True):
        assert list(column) == sorted(column)
    assert len(fan["observed"]["step_at"]) == 40
    assert fan["observed"]["demand"].count(None) == 1  # the gap is a gap, not a zero
    assert fan["next_origin_at"] is None
    older = viewer.get(f"{LLAMA}/forecasts", params={"origin_at": fan["previous_origin_at"]}).json()
    assert older["next_origin_at"] == fan["origin_at"]
    assert len(older["observed"]["demand"]) == 48


@pytest.mark.usefixtures("seeded")
def test_series(viewer) -> None:
    allocation = viewer.get(f"{LLAMA}/allocation").json()
    assert len(allocation["needed"]) == len(allocation["step_at"]) == 48
    assert allocation["measured_ratio"] == [None] * 48
    assert allocation["violation_ratio"] == allocation["believed_ratio"]
    assert len(allocation["desired"]) == len(allocation["ready"]) == 48
    series = viewer.get(f"{LLAMA}/indicators", params={"indicator": "gpu_duty_ratio"}).json()
    assert [item["name"] for item in series] == ["gpu_duty_ratio"]
    assert series[0]["level"] == 3
    assert len(series[0]["values"]) == 48
    every = viewer.get(f"{LLAMA}/indicators").json()
    assert len(every) == 3
    quality = viewer.get(f"{LLAMA}/quality").json()
    assert quality[0]["n_forecasts"] == 48
    assert quality[0]["coverage"]["0.9"] == pytest.approx(0.89)
    assert quality[0]["skill_vs_last_value"] == pytest.approx(1 - 0.08 / 0.104)
    lead = viewer.get(f"{LLAMA}/lead-times").json()
    assert lead["n_measured"] + lead["n_on_the_way"] == 20
    assert 60 <= lead["p50_s"] <= lead["p90_s"] <= lead["max_s"]


@pytest.mark.usefixtures("seeded")
def test_a_measured_step_is_shown_as_measured(viewer) -> None:
    felt = viewer.get("/v1/workloads/llm-prod/mixtral-agents/allocation").json()
    assert felt["violation_ratio"] == felt["measured_ratio"] == [0.12, 0, 0, 0] * 12
    assert felt["believed_ratio"] != felt["measured_ratio"]


@pytest.fixture
def with_tokens(seeded, database) -> np.ndarray:
    """Makes `queue_requests` a further load of the newest forecast, with these paths (S, H)."""
    paths = np.random.default_rng(1).gamma(5, 20, (40, 12))
    loads = '[{"indicator": "queue_requests", "per_replica": 8}]'
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET spec = jsonb_set(spec, '{capacity,also_bound_by}', "
                "CAST(:loads AS jsonb)) WHERE name = 'llama-70b-chat'"
            ),
            {"loads": loads},
        )
        connection.execute(
            text(
                "UPDATE forecasts SET n_paths = 40, further_names = '{queue_requests}', "
                "further_paths = :paths, further_scales = '{256}' WHERE id = 100047"
            ),
            {"paths": (paths / 256).astype("<f2").tobytes()},
        )
    return paths


def test_the_fan_of_a_further_load_is_that_of_its_paths(viewer, with_tokens) -> None:
    plain = viewer.get(f"{LLAMA}/forecasts").json()
    load = {"load": "queue_requests"}
    fan = viewer.get(f"{LLAMA}/forecasts", params=load).json()
    median = fan["quantiles"][fan["quantile_levels"].index(0.5)]
    assert median == pytest.approx(np.median(with_tokens, axis=0).tolist(), rel=2e-3)
    for column in zip(*fan["quantiles"], strict=True):
        assert list(column) == sorted(column)
    assert fan["capacity_per_replica"] == 8
    assert fan["unit"] != plain["unit"]
    assert fan["observed"]["demand"] != plain["observed"]["demand"]
    same = ("id", "origin_at", "step_at", "quantile_levels", "model_version", "previous_origin_at")
    assert {name: fan[name] for name in same} == {name: plain[name] for name in same}
    assert viewer.get(f"{LLAMA}/forecasts", params={"load": "output_tokens_per_s"}).json() == plain


@pytest.mark.usefixtures("with_tokens")
def test_a_load_that_has_no_fan_is_refused_in_words(viewer) -> None:
    wrong = viewer.get(f"{LLAMA}/forecasts", params={"load": "gpu_duty_ratio"})
    assert wrong.status_code == 422
    assert "load='gpu_duty_ratio' must be one of" in wrong.json()["detail"]
    older = viewer.get(f"{LLAMA}/forecasts").json()["previous_origin_at"]
    gone = {"load": "queue_requests", "origin_at": older}
    answer = viewer.get(f"{LLAMA}/forecasts", params=gone)
    assert answer.status_code == 404
    assert "no forecast of load='queue_requests'" in answer.json()["detail"]
