"""Dashboards ask data sources by a variable, can be imported, and are one unit with the rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.chart import REPO

DASHBOARDS = sorted((REPO / "deploy" / "grafana" / "dashboards").glob("*.json"))
MIXIN = REPO / "deploy" / "mixin.libsonnet"
BY_TYPE = {"prometheus": "${datasource}", "grafana-postgresql-datasource": "${postgres}"}


def sources(node: Any) -> Iterator[dict[str, Any]]:
    """Every data source that is named anywhere in a dashboard."""
    if isinstance(node, dict):
        if isinstance(node.get("datasource"), dict):
            yield node["datasource"]
        for value in node.values():
            yield from sources(value)
    elif isinstance(node, list):
        for value in node:
            yield from sources(value)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_each_query_asks_the_source_of_a_variable(path: Path) -> None:
    content = json.loads(path.read_text())
    named = list(sources(content))
    assert len(named) > 10
    assert all(one["uid"] == BY_TYPE[one["type"]] for one in named)
    # a variable must stand before the one whose values come from it
    first = [v for v in content["templating"]["list"] if v["type"] == "datasource"]
    assert content["templating"]["list"][: len(first)] == first
    assert {f"${{{v['name']}}}": v["query"] for v in first} == {u: t for t, u in BY_TYPE.items()}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_an_import_asks_for_both_sources_and_fills_them_in(path: Path) -> None:
    text = path.read_text()
    content = json.loads(text)
    asked = {one["name"]: one["pluginId"] for one in content["__inputs"]}
    assert set(asked.values()) == set(BY_TYPE)
    assert set(re.findall(r"\$\{(DS_\w+)\}", text)) == set(asked)
    for name, plugin in asked.items():
        text = text.replace(f"${{{name}}}", f"uid-of-{plugin}")
    filled = json.loads(text)["templating"]["list"]
    chosen = {v["query"]: v["current"]["value"] for v in filled if v["type"] == "datasource"}
    assert chosen == {plugin: f"uid-of-{plugin}" for plugin in BY_TYPE}
    kinds = {panel["type"] for panel in content["panels"]} - {"row"}
    needed = {one["id"] for one in content["__requires"]}
    assert needed == kinds | set(BY_TYPE) | {"grafana"}


def test_the_mixin_has_every_dashboard_and_every_rule() -> None:
    text = MIXIN.read_text()
    imported = re.findall(r"'harmony-([\w-]+\.json)': import '([^']+)'", text)
    assert all(place == f"grafana/dashboards/{name}" for name, place in imported)
    assert {name for name, _ in imported} == {path.name for path in DASHBOARDS}
    (rules,) = re.findall(r"importstr '([^']+)'", text)
    groups = yaml.safe_load((MIXIN.parent / rules).read_text())["groups"]
    assert all({"alert", "record"} & set(rule) for group in groups for rule in group["rules"])
    assert {"prometheusAlerts", "prometheusRules", "grafanaDashboards"} <= set(
        re.findall(r"(\w+)\+::", text)
    )
