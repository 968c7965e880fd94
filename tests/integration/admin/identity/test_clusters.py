"""Every route x keys of one cluster and of all, while two clusters have workloads of one name.

What is of the other cluster carries a word of its own: it must be in no answer that is not about
that cluster, and no request that is not about it may change its rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.kernel.db.clusters import SHARDS_PER_CLUSTER, add_cluster
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.identity.test_auth import (
    OWN,
    THERE,
    is_allowed,
    is_stream,
    operations,
)
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration
OTHER, MARK = "other", "zz-of-the-other"
KEYS = {
    "default": (1, None),
    "default/own": (1, [OWN]),
    OTHER: (2, None),
    "every": (None, None),
    "every/own": (None, [OWN]),
}
WORKLOAD = f"/v1/workloads/{OWN}/{THERE['name']}"
COPY = """
INSERT INTO workloads (namespace, name, shard, step_s, spec, managed_by, created_at, updated_at,
                       cluster_id)
SELECT namespace, name, :shard, step_s, spec || jsonb_build_object('labels',
       jsonb_build_object('mark', CAST(:mark AS text))), managed_by, created_at, updated_at, 2
FROM workloads WHERE cluster_id = 1
"""
OF_WORKLOADS = """
INSERT INTO {table} SELECT (jsonb_populate_record(r, jsonb_build_object(
    'workload_id', n.id, {changes}))).*
FROM {table} r JOIN workloads o ON o.id = r.workload_id
JOIN workloads n ON n.cluster_id = 2 AND (n.namespace, n.name) = (o.namespace, o.name)
"""
COPIED = {
    "decisions": "'id', r.id + 5000000, 'forecast_id', r.forecast_id + 5000000, 'reason', '{0}'",
    "actions": "'id', r.id + 5000000, 'decision_id', r.decision_id + 5000000, 'reason', '{0}'",
    "forecasts": "'id', r.id + 5000000, 'reason', '{0}'",
    "replica_states": "'spec_replicas', r.spec_replicas",
    "outcomes": "'demand', r.demand",
}
OTHERS = (
    "INSERT INTO freezes (namespace, direction, from_at, until_at, reason, created_by, created_at, "
    "cluster_id) VALUES (:own, 'Both', :now, :now + interval '1 day', :mark, 'x', :now, 2)",
    "INSERT INTO gpu_budgets (cluster_id, gpu_type, gpus, source, observed_at) "
    "VALUES (2, 'H100', 7, :mark, :now)",
    "INSERT INTO operations (kind, params, message, created_by, created_at, cluster_id) VALUES "
    "('backtest', jsonb_build_object('workloads', jsonb_build_array(CAST(:own AS text) || "
    "'/llama-70b-chat')), :mark, 'x', :now, 2)",
    "INSERT INTO posteriors (kind, scope, status, reason, n_observations, summary, diagnostics, "
    "fitted_at) SELECT 'capacity', 'workload:' || id, 'promoted', :mark, 1, '{}', '{}', :now "
    "FROM workloads WHERE cluster_id = 2",
    "INSERT INTO workload_controls (workload_id, body, version, updated_by, updated_at) "
    "SELECT id, '{\"policy\": {}}', 1, :mark, :now FROM workloads WHERE cluster_id = 2",
)
STATE = (
    "SELECT * FROM workloads WHERE cluster_id = 2 ORDER BY id",
    "SELECT c.* FROM workload_controls c JOIN workloads w ON w.id = c.workload_id "
    "WHERE w.cluster_id = 2 ORDER BY 1",
    "SELECT * FROM freezes WHERE cluster_id = 2 ORDER BY id",
    "SELECT * FROM approvals ORDER BY 1",
    "SELECT id, status, is_cancel_requested FROM operations WHERE cluster_id = 2 ORDER BY id",
    "SELECT id, name, revoked_at, replaced_by FROM api_keys WHERE cluster_id = 2 ORDER BY id",
)


@pytest.fixture
def tokens(database: Engine, seeded: object) -> dict[tuple[Role, str], str]:
    """Keys of each role in each place, after a copy of the fleet was put into another cluster."""
    with database.begin() as connection:
        add_cluster(connection, OTHER, NOW)
        given = {"mark": MARK, "own": OWN, "now": NOW}
        connection.execute(text(COPY), given | {"shard": SHARDS_PER_CLUSTER})
        for table, changes in COPIED.items():
            statement = OF_WORKLOADS.format(table=table, changes=changes.format(MARK))
            connection.execute(text(statement))
        for statement in OTHERS:
            names = text(statement).compile().params
            connection.execute(text(statement), {k: v for k, v in given.items() if k in names})
        create_key(connection, MARK, Role.VIEWER, NOW, cluster_id=2)
        return {
            (role, place): create_key(
                connection, f"{role} {place}", role, NOW, None, namespaces, cluster_id
            ).token
            for role in Role
            for place, (cluster_id, namespaces) in KEYS.items()
        }


def routes(client: AppClient) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every route but the streams, which an admitted caller is never answered to the end."""
    return ((m, path, o) for m, path, o in operations(client) if not is_stream(o))


def send(client: AppClient, method: str, path: str, token: str, cluster: str = "") -> Any:
    named = {"params": {"cluster": cluster}} if cluster else {}
    body = {} if method == "GET" else {"json": {}}
    headers = {"Authorization": f"Bearer {token}"}
    return client.request(method, path, headers=headers, **named, **body)


def state(database: Engine) -> list[list[tuple[Any, ...]]]:
    with database.connect() as connection:
        return [[tuple(row) for row in connection.execute(text(each))] for each in STATE]


def test_a_key_of_one_cluster_sees_and_changes_nothing_of_another(
    anonymous: AppClient, tokens: dict[tuple[Role, str], str], database: Engine
) -> None:
    before = state(database)
    for method, path, operation in routes(anonymous):
        for place, kind in (("default", "fleet"), ("default/own", "own")):
            answer = send(anonymous, method, path, tokens[Role.ADMIN, place])
            told = (method, path, place, answer.status_code, answer.text[:200])
            assert MARK not in answer.text, told
            # models and the audit log are of all clusters together
            is_of_all = operation["x-role-scope"] == "fleet"
            allowed = is_allowed(operation, Role.ADMIN, kind) and not is_of_all
            assert (answer.status_code == 403) == (not allowed), told
            assert answer.status_code < 500, told
        refused = send(anonymous, method, path, tokens[Role.ADMIN, "default"], OTHER)
        assert refused.status_code == 403, (method, path)
    absent = send(anonymous, "GET", WORKLOAD, tokens[Role.ADMIN, "default"], "nowhere")
    assert absent.text == refused.text, "whether it exists is not told"
    assert state(database) == before


def test_what_is_named_by_an_id_does_not_exist_in_another_cluster(
    anonymous: AppClient, tokens: dict[tuple[Role, str], str], database: Engine
) -> None:
    before = state(database)
    statements = {
        "decisions": "SELECT max(id) FROM decisions WHERE id > 5000000",
        "freezes": "SELECT id FROM freezes WHERE cluster_id = 2",
        "operations": "SELECT id FROM operations WHERE cluster_id = 2",
        "posteriors": f"SELECT max(id) FROM posteriors WHERE reason = '{MARK}'",
        "keys": f"SELECT id FROM api_keys WHERE name = '{MARK}'",
    }
    with database.connect() as connection:
        ids = {name: connection.execute(text(s)).scalar_one() for name, s in statements.items()}
    requests = [
        ("GET", f"/v1/decisions/{ids['decisions']}"),
        ("GET", f"/v1/decisions/{ids['decisions']}/verdict"),
        ("POST", f"/v1/decisions/{ids['decisions']}/approve"),
        ("POST", f"/v1/decisions/{ids['decisions']}/reject"),
        ("POST", f"/v1/decisions/{ids['decisions']}/replay"),
        ("GET", f"/v1/freezes/{ids['freezes']}"),
        ("DELETE", f"/v1/freezes/{ids['freezes']}"),
        ("GET", f"/v1/operations/{ids['operations']}"),
        ("POST", f"/v1/operations/{ids['operations']}/cancel"),
        ("GET", f"/v1/backtests/{ids['operations']}"),
        ("POST", f"/v1/backtests/{ids['operations']}/cancel"),
        ("GET", f"/v1/posteriors/{ids['posteriors']}"),
        ("POST", f"/v1/keys/{ids['keys']}/rotate"),
        ("DELETE", f"/v1/keys/{ids['keys']}"),
    ]
    for method, path in requests:
        answer = send(anonymous, method, path, tokens[Role.ADMIN, "default"])
        assert answer.status_code in {404, 422}, (method, path, answer.text)
        assert MARK not in answer.text
        if method == "GET":
            found = send(anonymous, method, path, tokens[Role.ADMIN, OTHER])
            assert found.status_code == 200 or "verdict" in path, (path, found.text)
    assert state(database) == before


@pytest.mark.parametrize("place", ["every", "every/own"])
def test_a_key_of_every_cluster_names_the_one_that_it_means(
    anonymous: AppClient, tokens: dict[tuple[Role, str], str], database: Engine, place: str
) -> None:
    token, before = tokens[Role.ADMIN, place], state(database)
    n_ambiguous = 0
    for method, path, operation in routes(anonymous):
        allowed = is_allowed(operation, Role.ADMIN, "fleet" if place == "every" else "own")
        told: Any = (method, path)
        if not allowed:
            continue
        if "{namespace}" in path or OWN in path:
            answer = send(anonymous, method, path, token)
            assert answer.status_code == 409, told
            problem = answer.json()
            assert problem["code"] == "ambiguous_cluster"
            assert [each["message"] for each in problem["errors"]] == ["default", OTHER]
            n_ambiguous += 1
        if operation["x-role-scope"] != "fleet":
            answer = send(anonymous, method, path, token, "default")
            assert answer.status_code not in {403, 409} or method != "GET", told
            assert MARK not in answer.text, told
    assert send(anonymous, "GET", WORKLOAD, token, "nowhere").status_code == 404
    assert n_ambiguous > 15
    assert state(database) == before
    assert send(anonymous, "GET", WORKLOAD, token, OTHER).json()["cluster"] == OTHER
    spec = send(anonymous, "GET", f"{WORKLOAD}/spec", token, OTHER).json()["spec"]
    assert spec["labels"] == {"mark": MARK}


def test_lists_of_every_cluster_say_of_which_each_item_is(
    anonymous: AppClient, tokens: dict[tuple[Role, str], str]
) -> None:
    token = tokens[Role.ADMIN, "every"]
    for path in ("workloads", "decisions", "actions", "outcomes", "freezes", "budgets", "policies"):
        every, cursor = [], ""
        while True:
            query = f"/v1/{path}?limit=500" + (f"&cursor={cursor}" if cursor else "")
            page = send(anonymous, "GET", query, token).json()
            every += page["items"]
            cursor = page["next_cursor"]
            if not cursor:
                break
        for cluster in ("default", OTHER):
            own = [item for item in every if item["cluster"] == cluster]
            query = f"/v1/{path}?limit=500&cluster={cluster}"
            seen = send(anonymous, "GET", query, token).json()["items"]
            assert seen == own[: len(seen)], (path, cluster)
            assert seen or cluster == "default", (path, cluster)


def test_a_page_of_workloads_leaves_none_out_where_names_repeat(
    anonymous: AppClient, tokens: dict[tuple[Role, str], str]
) -> None:
    token, seen, cursor = tokens[Role.VIEWER, "every"], [], ""
    while cursor is not None:
        query = "/v1/workloads?limit=1" + (f"&cursor={cursor}" if cursor else "")
        page = send(anonymous, "GET", query, token).json()
        seen += [(item["namespace"], item["name"], item["cluster"]) for item in page["items"]]
        cursor = page["next_cursor"]
    assert len(seen) == len(set(seen)) == 6


def test_a_write_goes_to_the_cluster_that_it_names(
    anonymous: AppClient, tokens: dict[tuple[Role, str], str], database: Engine
) -> None:
    body = {"direction": "Both", "reason": "maintenance"}
    headers = {"Authorization": f"Bearer {tokens[Role.OPERATOR, 'every']}"}
    path = f"{WORKLOAD}/pause?cluster={OTHER}"
    assert anonymous.request("PUT", path, json=body, headers=headers).status_code == 200
    freeze = {"direction": "Both", "reason": "x", "until_at": "2030-01-01T00:00:00Z"}
    refused = anonymous.request("POST", "/v1/freezes", json=freeze, headers=headers)
    assert refused.status_code == 409, "a freeze of which fleet?"
    made = anonymous.request("POST", f"/v1/freezes?cluster={OTHER}", json=freeze, headers=headers)
    assert (made.status_code, made.json()["cluster"]) == (201, OTHER)
    with database.connect() as connection:
        paused = connection.execute(
            text(
                "SELECT w.cluster_id FROM workload_controls c JOIN workloads w "
                "ON w.id = c.workload_id WHERE c.body ->> 'pause' IS NOT NULL"
            )
        ).scalars()
        assert list(paused) == [2]
        objects = connection.execute(text("SELECT object FROM audit ORDER BY id")).scalars().all()
    assert objects[-2:] == [
        f"workload/{OWN}/{THERE['name']}@{OTHER}",
        f"freeze/{made.json()['id']}@{OTHER}",
    ]


def test_a_key_is_made_for_a_cluster_of_its_maker(
    anonymous: AppClient, tokens: dict[tuple[Role, str], str]
) -> None:
    cases = [
        ("default", {}, "default"),
        ("default", {"cluster": "default"}, "default"),
        ("default", {"cluster": OTHER}, None),
        ("default", {"cluster": "*"}, None),
        ("every", {"cluster": OTHER}, OTHER),
        ("every", {"cluster": "*"}, "*"),
        ("every/own", {"cluster": OTHER, "namespaces": [OWN]}, OTHER),
        ("every/own", {"cluster": OTHER}, None),
    ]
    for place, fields, cluster in cases:
        answer = anonymous.post(
            "/v1/keys",
            json={"name": "k", "role": "viewer"} | fields,
            headers={"Authorization": f"Bearer {tokens[Role.ADMIN, place]}"},
            params={"cluster": OTHER} if place.startswith("every") else {},
        )
        if cluster is None:
            assert answer.status_code == 403, (place, fields)
        else:
            assert (answer.status_code, answer.json()["cluster"]) == (201, cluster)


def test_a_model_names_the_workloads_of_its_reader_only(
    anonymous: AppClient, tokens: dict[tuple[Role, str], str], database: Engine
) -> None:
    """It names what it was trained on; those of further clusters behind the cluster's id."""
    names = ["elsewhere/a", f"{OWN}/b", "2:elsewhere/c", f"2:{OWN}/d"]
    by_name = dict.fromkeys(names, "seasonal")
    metrics = {"picks": by_name, "ratios": dict.fromkeys(names, 0.9), "skipped": by_name}
    with database.begin() as connection:
        connection.execute(
            text("UPDATE models SET metrics = CAST(:metrics AS jsonb)"),
            {"metrics": json.dumps(metrics | {"simple_only": names, "n_workloads": 4})},
        )
    seen = {
        "default": names[:2],
        "default/own": names[1:2],
        OTHER: names[2:],
        "every": names,
        "every/own": [names[1], names[3]],
    }
    for place, own in seen.items():
        token = tokens[Role.VIEWER, place]
        (listed,) = send(anonymous, "GET", "/v1/models", token).json()["items"]
        one = send(anonymous, "GET", f"/v1/models/{listed['version']}", token).json()
        assert one == listed
        for field in ("picks", "ratios", "skipped", "simple_only"):
            assert sorted(one["metrics"][field]) == sorted(own), (place, field)
        assert one["metrics"]["n_workloads"] == 4
