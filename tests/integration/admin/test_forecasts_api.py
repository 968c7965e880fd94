"""Forecasts at several origins, and the filters that lists share, over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, text

from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW, Seeded
from tests.integration.admin.seeded_rows import STEP_S

pytestmark = pytest.mark.integration

PATH = "/v1/workloads/llm-prod/llama-70b-chat/forecasts"


def test_fans_at_several_origins_share_one_course_of_demand(
    viewer: AppClient, seeded: Seeded
) -> None:
    query = {"n_origins": 3, "every_steps": 6, "n_context": 4}
    found = viewer.get(f"{PATH}/fans", params=query).json()
    step = timedelta(seconds=STEP_S)
    newest = seeded.origins[-1]
    expected = [(newest - step * k).isoformat().replace("+00:00", "Z") for k in (12, 6, 0)]
    assert [fan["origin_at"] for fan in found["fans"]] == expected
    for fan in found["fans"]:
        assert len(fan["step_at"]) == len(fan["quantiles"][0]) == 12
        assert fan["step_at"][0] > fan["origin_at"]
        single = viewer.get(PATH, params={"origin_at": fan["origin_at"]}).json()
        assert single["quantiles"] == fan["quantiles"]
    first = newest - step * (12 + 3)
    assert found["observed"]["step_at"][0] == first.isoformat().replace("+00:00", "Z")
    assert len(found["observed"]["step_at"]) == 16  # to the last step that has been measured


def test_fans_at_origins_that_are_named(viewer: AppClient, seeded: Seeded) -> None:
    chosen = [seeded.origins[k].isoformat() for k in (3, 30)]
    missing = (NOW + timedelta(days=3)).isoformat()
    found = viewer.get(f"{PATH}/fans", params={"origin_at": [*chosen, missing]}).json()
    assert [fan["id"] % 100_000 for fan in found["fans"]] == [3, 30]
    assert viewer.get(f"{PATH}/fans", params={"origin_at": missing}).status_code == 404
    far = [chosen[0], (NOW - timedelta(days=300)).isoformat()]
    assert viewer.get(f"{PATH}/fans", params={"origin_at": far}).status_code == 422
    early = {"to_at": (NOW - timedelta(days=9)).isoformat()}
    assert viewer.get(f"{PATH}/fans", params=early).status_code == 404


def test_origins_page_without_gap_or_repeat(viewer: AppClient, seeded: Seeded) -> None:
    seen: list[Any] = []
    query: dict[str, Any] = {"limit": 20, "from_at": seeded.origins[3].isoformat()}
    while True:
        page = viewer.get(f"{PATH}/origins", params=query).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert [item["id"] % 100_000 for item in seen] == list(range(47, 2, -1))


def test_pages_hold_still_while_rows_arrive(
    viewer: AppClient, seeded: Seeded, database: Engine
) -> None:
    query: dict[str, Any] = {"limit": 10, "workload": "llm-prod/llama-70b-chat"}
    first = viewer.get("/v1/decisions", params=query).json()
    with database.begin() as connection:
        copied = connection.execute(
            text(
                "INSERT INTO decisions SELECT (jsonb_populate_record(d, jsonb_build_object("
                "'id', d.id + 50000, 'origin_at', d.origin_at + interval '1 hour', "
                "'forecast_id', d.forecast_id + 50000))).* FROM decisions d"
            )
        )
        assert copied.rowcount > 0
    second = viewer.get("/v1/decisions", params=query | {"cursor": first["next_cursor"]}).json()
    origins = [item["origin_at"] for item in first["items"] + second["items"]]
    assert origins == sorted(origins, reverse=True)
    ids = [item["id"] for item in first["items"] + second["items"]]
    assert len(set(ids)) == 20


@pytest.mark.usefixtures("seeded")
def test_many_scores_are_averaged_over_a_sample(
    viewer: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = PATH.replace("forecasts", "quality")
    (whole,) = viewer.get(path).json()
    monkeypatch.setattr("services.admin.series.service.QUALITY_SAMPLE", 10)
    (sample,) = viewer.get(path).json()
    assert (whole["n_forecasts"], sample["n_forecasts"]) == (48, 10)
    assert sample["coverage"] == whole["coverage"]


@pytest.mark.usefixtures("seeded")
def test_quality_says_how_much_the_last_value_weighs(viewer: AppClient, database: Engine) -> None:
    path = PATH.replace("forecasts", "quality")
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


@pytest.mark.usefixtures("seeded")
def test_lists_filter_by_namespace_and_label(viewer: AppClient, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET spec = spec || CAST(:more AS jsonb) "
                "WHERE name = 'mixtral-agents'"
            ),
            {"more": '{"labels": {"team": "chat"}}'},
        )
    for path in ("/v1/decisions", "/v1/actions", "/v1/outcomes"):
        labelled = viewer.get(path, params={"label": "team=chat", "limit": 500}).json()["items"]
        assert {item["workload"] for item in labelled} == {"mixtral-agents"}, path
        assert len(labelled) == 48
        of_one = viewer.get(path, params={"namespace": "diffusion"}).json()["items"]
        assert {item["namespace"] for item in of_one} == {"diffusion"}
    fleet = viewer.get("/v1/workloads", params={"label": "team=chat"}).json()["items"]
    assert [item["name"] for item in fleet] == ["mixtral-agents"]
    hostile = {"label": "team=' OR 1=1 --"}
    assert viewer.get("/v1/workloads", params=hostile).json()["items"] == []


def test_a_nul_in_the_url_is_refused(viewer: AppClient) -> None:
    for path in ("/v1/workloads/a%00/b", "/v1/workloads?search=%00", "/v1/models/%00"):
        answer = viewer.get(path)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), path
