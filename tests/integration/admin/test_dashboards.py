"""Every query of the Grafana dashboards runs: SQL on a filled database, PromQL on real names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine

from deploy.grafana.source.generate import generate
from services.exporter.metrics import WORKLOAD_METRICS
from services.kernel import telemetry

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


def expand(sql: str) -> str:
    """What Grafana makes of a query."""
    sql = re.sub(r"\$__timeFilter\(([^)]+)\)", rf"\1 BETWEEN '{FROM}' AND '{TO}'", sql)
    for name, value in VALUES.items():
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


@pytest.mark.usefixtures("seeded")
def test_the_fan_reaches_beyond_the_newest_origin(database: Engine) -> None:
    title, _, sql = next(q for q in queries("workload") if q[0] == "Forecast against demand")
    with database.connect() as connection:
        rows = connection.exec_driver_sql(expand(sql)).mappings().all()
    times = [row["time"] for row in rows]
    assert len(times) == len(set(times)) == 48 + 12 - 3, title
    for row in rows:
        assert row["p05"] <= row["p25"] <= row["median"] <= row["p75"] <= row["p95"]


def metric_names() -> set[str]:
    names: set[str] = set()
    for family in telemetry.REGISTRY.collect():
        suffixes = {
            "counter": ("_total",),
            "histogram": ("_bucket", "_sum", "_count"),
        }.get(family.type, ("",))
        names |= {family.name + suffix for suffix in suffixes}
    return names | {one.full_name for one in WORKLOAD_METRICS}


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
    if of_workloads := [one for one in WORKLOAD_METRICS if one.full_name == series]:
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
