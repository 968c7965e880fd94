"""Models by status and time; beliefs by whose they are."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, insert, select, update

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.decision.rows.lead_times import cause_scope, own_scope, type_scope
from services.kernel.db import schema
from services.kernel.domain.lead_time import COLD
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient, bearer
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


@pytest.mark.usefixtures("registry")
def test_models_filter_by_status_and_time(admin: AppClient) -> None:
    def found(**query: str) -> list[str]:
        items = admin.get("/v1/models", params=query).json()["items"]
        return [item["version"] for item in items]

    assert found(status="shadow") == ["harmony-flow-4"]
    since = (NOW - timedelta(minutes=30)).isoformat()
    assert found(from_at=since) == ["harmony-flow-2"]
    assert admin.get("/v1/models", params={"status": "great"}).status_code == 422


def test_beliefs_of_a_workload_are_of_its_namespace_whatever_of_it_they_are_of(
    deps: AdminDeps, admin: AppClient, database: Engine
) -> None:
    """Of a GPU type, of the starts of a cause: only the whole workload's own was hidden."""
    with database.begin() as connection:
        mine = select(schema.workloads.c.id, schema.workloads.c.namespace)
        id_, namespace = connection.execute(mine.order_by(schema.workloads.c.id)).first() or (0, "")
        own, part = own_scope(id_), own_scope(id_, "H100")
        hidden = [own, part, cause_scope(own, COLD), cause_scope(part, COLD), own_scope(999_999)]
        blank = {"kind": "lead_time", "status": "promoted", "n_observations": 4, "draws": None}
        blank |= {"summary": {}, "diagnostics": {}, "fitted_at": NOW}
        for scope in [*hidden, type_scope("H100")]:
            connection.execute(insert(schema.posteriors).values(blank | {"scope": scope}))
        tokens = [
            create_key(connection, name, Role.VIEWER, NOW, namespaces=[name]).token
            for name in ("elsewhere", namespace)
        ]
    every = {i["scope"]: i for i in admin.get("/v1/posteriors").json()["items"]}
    assert [every[scope]["namespace"] for scope in hidden] == [namespace] * 4 + [None]
    seen = []
    for token in tokens:
        with AppClient(make_app(deps), bearer(token)) as client:
            listed = {i["scope"] for i in client.get("/v1/posteriors").json()["items"]}
            for scope, item in every.items():
                status = client.get(f"/v1/posteriors/{item['id']}").status_code
                assert status == (200 if scope in listed else 404), scope
            seen.append(listed)
    assert seen == [{type_scope("H100")}, {*hidden[:4], type_scope("H100")}]


def test_a_model_names_only_workloads_that_its_reader_may_see(
    deps: AdminDeps, admin: AppClient, database: Engine
) -> None:
    named = {"ns-a/one": 0.8, "ns-b/two": 1.1, "7:ns-a/far": 0.9}
    metrics = {
        "skill": 0.2,
        "ratios": named,
        "picks": dict.fromkeys(named, "ets"),
        "skipped": {"ns-b/three": "too short"},
        "simple_only": sorted(named),
    }
    with database.begin() as connection:
        connection.execute(update(schema.models).values(metrics=metrics))
        token = create_key(connection, "a", Role.VIEWER, NOW, namespaces=["ns-a"]).token
    whole = admin.get("/v1/models").json()["items"][0]
    assert whole["metrics"] == metrics
    with AppClient(make_app(deps), bearer(token)) as client:
        listed = client.get("/v1/models").json()["items"][0]
        one = client.get(f"/v1/models/{listed['version']}").json()
    assert listed["metrics"] == one["metrics"]
    seen = {key for key in named if "ns-a/" in key}
    assert one["metrics"] == {
        "skill": 0.2,
        "ratios": {key: named[key] for key in seen},
        "picks": dict.fromkeys(seen, "ets"),
        "skipped": {},
        "simple_only": sorted(seen),
    }
