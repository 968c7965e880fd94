"""Every query of the Grafana dashboards runs: SQL on a filled database, PromQL on real names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine, insert

from deploy.grafana.source.generate import generate
from services.exporter.metrics import METRICS
from services.kernel import telemetry
from services.kernel.db import schema
from services.kernel.db.partitions import ensure_partitions
from tests.integration.decision.pool_rows import DECODE, PREFILL, add_service
from tests.integration.decision.stored_rows import NOW, ORIGIN, STEP, STEP_S, add_workload

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parents[3] / "deploy/grafana/dashboards"
NAMES = ("fleet", "workload", "decisions", "forecast-quality", "operations")
FROM, TO = "2026-01-06T06:00:00Z", "2026-01-06T14:00:00Z"
VALUES = {
    "${cluster:sqlstring}": "'default'",
    "${namespace:sqlstring}": "'llm-prod'",
    "${workload:sqlstring}": "'llama-70b-chat'",
    "${model:sqlstring}": "'harmony-flow-3'",
    "$ahead": "3",
}


def dashboard(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


def expand(sql: str, **chosen: str) -> str:
    """What Grafana makes of a query; `chosen` names another namespace or workload."""
    sql = re.sub(r"\$__timeFilter\(([^)]+)\)", rf"\1 BETWEEN '{FROM}' AND '{TO}'", sql)
    sql = sql.replace("$__timeFrom()", f"'{FROM}'")
    named = {f"${{{name}:sqlstring}}": f"'{value}'" for name, value in chosen.items()}
    for name, value in (VALUES | named).items():
        sql = sql.replace(name, value)
    assert "$" not in sql, sql
    return sql


def queries(name: str) -> list[tuple[str, str, str]]:
    """(title, format, SQL) of panels, variables and annotations."""
    document = dashboard(name)
    found = [
        (panel["title"], target["format"], target["rawSql"])
        for panel in document["panels"]
        for target in panel.get("targets", [])
        if "rawSql" in target
    ]
    for variable in document["templating"]["list"]:
        if variable["type"] == "query" and "postgresql" in variable["datasource"]["type"]:
            found.append((variable["name"], "variable", variable["query"]))
    for note in document["annotations"]["list"]:
        found.append((note["name"], "table", note["target"]["rawSql"]))
    return found


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("name", NAMES)
def test_every_query_gives_data(database: Engine, name: str) -> None:
    """On rows made by hand; tests/e2e runs them all on what the platform itself has written."""
    with database.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO ingest_cursors (workload_id, updated_at) SELECT id, now() FROM workloads"
        )
    asked = queries(name)
    assert len(asked) >= 3
    for title, kind, sql in asked:
        with database.connect() as connection:
            result = connection.exec_driver_sql(expand(sql))
            columns, rows = list(result.keys()), result.all()
        assert rows, f"{title}: no rows"
        assert any(value is not None for row in rows for value in row), title
        if kind == "time_series":
            assert columns[0] == "time", title
            times = [row[0] for row in rows]
            assert times == sorted(times), f"{title}: Grafana needs rising times"


@pytest.mark.parametrize("name", NAMES)
def test_no_query_fails_where_a_variable_has_no_value(database: Engine, name: str) -> None:
    """As of a fleet without workloads: of "All" of nothing Grafana makes nothing."""
    variables = dashboard(name)["templating"]["list"]
    nothing = {one["name"]: "" if one["multi"] else "''" for one in variables}
    for title, _, sql in queries(name):
        sql = re.sub(r"\$\{(\w+):sqlstring\}", lambda found: nothing[found[1]], sql)
        with database.connect() as connection:
            rows = connection.exec_driver_sql(expand(sql)).all()
        assert len(rows) <= 1 or title == "Rows kept", title


@pytest.mark.usefixtures("seeded")
def test_the_fan_reaches_beyond_the_newest_origin(database: Engine) -> None:
    title, _, sql = next(q for q in queries("workload") if q[0] == "Forecast against demand")
    with database.connect() as connection:
        rows = connection.exec_driver_sql(expand(sql)).mappings().all()
    times = [row["time"] for row in rows]
    assert len(times) == len(set(times)) == 48 + 12 - 3, title
    for row in rows:
        assert row["p05"] <= row["p25"] <= row["median"] <= row["p75"] <= row["p95"]


def asked_of(database: Engine, name: str, title: str, workload: str) -> list[dict[str, Any]]:
    """Rows of a panel for a workload of the namespace `demo`; of two of a title the last."""
    *_, sql = (sql for found, _, sql in queries(name) if found == title)
    with database.connect() as connection:
        rows = connection.exec_driver_sql(expand(sql, namespace="demo", workload=workload))
        return [dict(row) for row in rows.mappings()]


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("title", ["Skill against the last value", "By workload"])
def test_where_no_last_value_was_known_a_forecast_has_no_skill(
    database: Engine, title: str
) -> None:
    (sql,) = (sql for found, _, sql in queries("forecast-quality") if found == title)
    unknown = (
        "UPDATE forecast_scores SET crps = 10, crps_last_value = NULL WHERE mod(forecast_id, 2) = 0"
    )
    with database.begin() as connection:
        connection.exec_driver_sql(unknown)
        (row,) = connection.exec_driver_sql(expand(sql)).mappings()
    assert row["skill"] == pytest.approx(1 - 0.08 / 0.104)


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(
    ("name", "title", "column"),
    [
        ("forecast-quality", "Forecasts scored", "scored"),
        ("forecast-quality", "By workload", "forecasts"),
        ("forecast-quality", "Calibration", "forecasts"),
        ("workload", "Coverage: share of outcomes below each quantile", "forecasts"),
    ],
)
def test_forecasts_of_which_nothing_was_observed_are_not_among_the_scored(
    database: Engine, name: str, title: str, column: str
) -> None:
    (sql,) = (sql for found, _, sql in queries(name) if found == title)
    unseen = "UPDATE forecast_scores SET crps = 0, n_steps = 0 WHERE mod(forecast_id, 2) = 0"
    with database.begin() as connection:
        before = connection.exec_driver_sql(expand(sql)).mappings().first()
        connection.exec_driver_sql(unseen)
        after = connection.exec_driver_sql(expand(sql)).mappings().first()
    assert before is not None
    assert after is not None
    assert 0 < after[column] < before[column]


def add_pools(database: Engine) -> int:
    """Two prefill replicas of 8 H100 at 4 USD and ten decode replicas of one L4 at 1 USD run."""
    prefill = PREFILL | {"gpus_per_replica": 8}
    decode = DECODE | {"gpu_type": "L4", "price_usd_per_gpu_hour": 1.0}
    workload = add_service(database, pools=[prefill, decode], gpu_type="H100", gpus_per_replica=8)
    counts = {"prefill": 2, "decode": 10}
    seen = {
        name: {"spec": n, "ready": n, "starting": 0, "pending": 0} for name, n in counts.items()
    }
    state = {
        "workload_id": workload, "observed_at": ORIGIN, "spec_replicas": 12, "ready_replicas": 12,
        "starting_replicas": 0, "pending_replicas": 0, "start_ages_s": [], "variants": seen,
    }  # fmt: skip
    hours = STEP_S / 3600
    outcome = {
        "workload_id": workload, "step_at": ORIGIN, "computed_at": NOW, "ready_mean": 12.0,
        "needed_replicas": 6, "gpu_hours": 26 * hours, "cost_usd": 74 * hours,
        "ready_by_pool": counts,
    }  # fmt: skip
    before = outcome | {"step_at": ORIGIN - STEP, "ready_by_pool": None}
    with database.begin() as connection:
        for table in ("replica_states", "outcomes"):
            ensure_partitions(connection, table, ORIGIN - STEP, NOW)
        connection.execute(insert(schema.replica_states), [state])
        connection.execute(insert(schema.outcomes), [before, outcome])
    return workload


def test_pools_are_counted_at_their_own_size_type_and_price(database: Engine) -> None:
    add_pools(database)
    (allocated,) = asked_of(database, "fleet", "GPUs allocated", "llama")
    assert allocated["gpus"] == 26
    types = asked_of(database, "fleet", "GPU types", "llama")
    assert [(one["gpu_type"], one["allocated"]) for one in types] == [("H100", 16), ("L4", 10)]
    (workload,) = asked_of(database, "fleet", "Workloads", "llama")
    assert workload["gpu_type"] == "H100 + L4"
    *_, newest = asked_of(database, "fleet", "GPUs allocated against needed", "llama")
    assert (newest["needed"], newest["allocated"]) == pytest.approx((13.0, 26.0))
    costs = asked_of(database, "fleet", "Cost per hour by GPU type", "llama")
    found = {(one["time"], one["metric"]): one["value"] for one in costs}
    assert found == pytest.approx(
        {(ORIGIN - STEP, "H100 + L4"): 74.0, (ORIGIN, "H100"): 64.0, (ORIGIN, "L4"): 10.0}
    )


def test_the_change_of_cost_is_of_what_was_applied(database: Engine) -> None:
    """In mode Advisory the same wish comes with every step, and nothing of it is saved."""
    workload = add_workload(database, "chat")
    decisions = [
        {
            "id": 900_000 + step, "origin_at": ORIGIN - step * STEP, "workload_id": workload,
            "forecast_id": 0, "policy_version": "harmony-1", "decided_at": NOW,
            "valid_until": NOW + STEP, "current_replicas": 10, "raw_replicas": 8,
            "desired_replicas": 8, "direction": "down", "reason": "scale_down_risk_allows",
            "rung": "forecast", "risk_target": 0.01, "cost_delta_usd_per_h": -5.0,
            "explanation": {},
        }
        for step in range(12)
    ]  # fmt: skip
    actions = [
        {
            "id": one["id"], "origin_at": one["origin_at"], "decision_id": one["id"],
            "workload_id": workload, "attempt": 1, "result": "advisory", "reason": "",
            "applied_at": NOW,
        }
        for one in decisions
    ]  # fmt: skip
    with database.begin() as connection:
        for table in ("decisions", "actions"):
            ensure_partitions(connection, table, ORIGIN - 12 * STEP, NOW)
        connection.execute(insert(schema.decisions), decisions)
        connection.execute(insert(schema.actions), actions)
    asked = (database, "decisions", "Change of cost", "chat")
    assert asked_of(*asked) == [{"usd_per_h": 0.0}]
    with database.begin() as connection:
        statement = "UPDATE actions SET result = 'applied' WHERE id IN (900003, 900007)"
        connection.exec_driver_sql(statement)
    assert asked_of(*asked) == [{"usd_per_h": -10.0}]


@pytest.mark.parametrize("title", ["Cost", "Cost per hour by GPU type"])
def test_what_one_cost_that_left_stays_in_the_costs_of_the_fleet(
    database: Engine, title: str
) -> None:
    add_pools(database)
    before = asked_of(database, "fleet", title, "llama")
    (namespaces,) = (sql for found, _, sql in queries("fleet") if found == "namespace")
    assert before
    with database.begin() as connection:
        statement = f"UPDATE workloads SET is_active = false, updated_at = '{TO}'"
        connection.exec_driver_sql(statement)
        assert connection.exec_driver_sql(expand(namespaces)).scalars().all() == ["demo"]
    assert asked_of(database, "fleet", title, "llama") == before
    assert asked_of(database, "fleet", "Workloads", "llama") == []


@pytest.mark.parametrize(
    ("sla", "promised"),
    [
        ({"kind": "AnyInWindow", "epsilon": 0.05, "window_s": 86_400}, 1 - 0.95 ** (1 / 288)),
        ({"kind": "AnyInWindow", "epsilon": 0.05, "window_s": 60}, 0.05),
        ({"kind": "AnyInWindow", "epsilon": 1e-11, "window_s": 86_400}, 1e-12),
        ({"kind": "AnyInWindow", "epsilon": 1.5, "window_s": 86_400}, 1.0),
        ({"kind": "TimeFraction", "epsilon": 0.05, "window_s": 86_400}, 0.05),
    ],
)
@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("workload", "Out of SLA: promised, measured, believed"),
        ("fleet", "Out of SLA: measured and believed against promised"),
    ],
)
def test_shares_of_steps_stand_beside_what_is_promised_of_a_step(
    database: Engine, name: str, title: str, sla: dict[str, Any], promised: float
) -> None:
    workload = add_workload(database, "chat", sla=sla)
    outcome = {"workload_id": workload, "step_at": ORIGIN, "computed_at": NOW}
    with database.begin() as connection:
        ensure_partitions(connection, "outcomes", ORIGIN, NOW)
        connection.execute(insert(schema.outcomes), [outcome | {"violation_ratio": 0.001}])
    (shown,) = asked_of(database, name, title, "chat")
    assert (shown["promised"], shown["believed"]) == pytest.approx((promised, 0.001), abs=1e-14)


def metric_names() -> set[str]:
    names: set[str] = set()
    for family in telemetry.REGISTRY.collect():
        suffixes = {
            "counter": ("_total",),
            "histogram": ("_bucket", "_sum", "_count"),
        }.get(family.type, ("",))
        names |= {family.name + suffix for suffix in suffixes}
    return names | {one.full_name for one in METRICS}


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_is_declared(name: str) -> None:
    expressions = [
        target["expr"]
        for panel in dashboard(name)["panels"]
        for target in panel.get("targets", [])
        if "expr" in target
    ]
    assert expressions
    for expression in expressions:
        used = set(re.findall(r"harmony_[a-z_]+", expression))
        recorded = set(re.findall(r"harmony:[a-z0-9_:]+", expression))
        assert used | recorded or "ALERTS" in expression
        assert used <= metric_names(), expression
        assert recorded <= record_names(), expression
        known = {label for name in used for label in labels_of(name)}
        grouped = re.findall(r"\bby \(([^)]*)\)", expression)
        matched = re.findall(r"[{,]([a-z_]+)=", expression)
        asked = {label.strip() for group in grouped for label in group.split(",")} | set(matched)
        assert asked <= known or "ALERTS" in expression, (asked - known, expression)


def labels_of(series: str) -> set[str]:
    """Labels of a metric, with those of its buckets."""
    name = re.sub(r"_(bucket|count|sum)$", "", series).removesuffix("_total")
    if of_workloads := [one for one in METRICS if one.full_name == series]:
        return set(of_workloads[0].labels)
    found = [m for m in vars(telemetry).values() if getattr(m, "_name", None) == name]
    return {*found[0]._labelnames, *(["le"] if series.endswith("_bucket") else [])}


def record_names() -> set[str]:
    rules = yaml.safe_load((FOLDER.parents[1] / "prometheus/rules/harmony.yml").read_text())
    return {rule["record"] for g in rules["groups"] for rule in g["rules"] if "record" in rule}


def test_the_files_are_what_their_source_makes() -> None:
    made = generate()
    assert {path.name for path in FOLDER.glob("*.json")} == set(made)
    for name, text in made.items():
        message = f"{name}: run `python -m deploy.grafana.source.generate`"
        assert (FOLDER / name).read_text() == text, message


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_says_what_it_shows(name: str) -> None:
    document = dashboard(name)
    assert document["description"]
    assert document["templating"]["list"]
    assert document["annotations"]["list"]
    panels = [panel for panel in document["panels"] if panel["type"] != "row"]
    for panel in panels:
        assert len(panel["description"]) > 10, panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["thresholds"]["steps"][0]["value"] is None, panel["title"]
    assert any(len(p["fieldConfig"]["defaults"]["thresholds"]["steps"]) > 1 for p in panels)


@pytest.mark.parametrize("name", NAMES)
def test_panels_do_not_overlap(name: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    ids = [panel["id"] for panel in dashboard(name)["panels"]]
    assert len(ids) == len(set(ids))
    for panel in dashboard(name)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} covers {taken.get((x, y))}"
                taken[x, y] = panel["title"]
