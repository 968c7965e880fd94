"""Alerts and records: declared metrics only, a runbook each, and when promtool sees them fire."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

from services.exporter.metrics import METRICS
from services.kernel import telemetry
from tests.unit.deploy.chart import REPO, named, of_kind, render
from tests.unit.deploy.chart_values import MATRIX

RULES = REPO / "deploy" / "prometheus" / "rules" / "harmony.yml"
PROMETHEUS = REPO / "deploy" / "prometheus"
DASHBOARDS = REPO / "deploy" / "grafana" / "dashboards"
CASES = Path(__file__).with_name("alert_cases.yml")
SEVERITIES = {"info", "warning", "critical"}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)"
)


def rules() -> list[dict[str, Any]]:
    groups = yaml.load(RULES.read_text(), yaml.CSafeLoader)["groups"]
    return [rule for group in groups for rule in group["rules"]]


EVERY_RULE = rules()
ALERTS = {rule["alert"]: rule for rule in EVERY_RULE if "alert" in rule}
RECORDS = {rule["record"]: rule for rule in EVERY_RULE if "record" in rule}


def series() -> dict[str, set[str]]:
    """Every series that the code can make, with its labels."""
    found: dict[str, set[str]] = {}
    for metric in vars(telemetry).values():
        if not isinstance(metric, MetricWrapperBase):
            continue
        name, labels = metric._name, set(metric._labelnames)
        if isinstance(metric, Counter):
            found[f"{name}_total"] = labels
        elif isinstance(metric, Histogram):
            found[f"{name}_bucket"] = labels | {"le"}
            found[f"{name}_count"] = found[f"{name}_sum"] = labels
        else:
            found[name] = labels
    return found | {one.full_name: set(one.labels) for one in METRICS}


@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda rule: rule.get("alert") or rule["record"])
def test_only_declared_metrics_are_used(rule: dict[str, Any]) -> None:
    known = series()
    expression = rule["expr"]
    metrics = set(re.findall(r"\bharmony_[a-z0-9_]+", expression))
    assert metrics <= set(known)
    assert set(re.findall(r"\bharmony:[a-z0-9_:]+", expression)) <= set(RECORDS)
    assert metrics or "harmony:" in expression
    for metric, inner in re.findall(r"(harmony_[a-z0-9_]+)\{([^}]*)\}", expression):
        labels = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", inner))
        assert labels <= known[metric], (metric, labels)


def test_a_record_is_used() -> None:
    text = RULES.read_text()
    shown = "".join(path.read_text() for path in DASHBOARDS.glob("*.json"))
    for name in RECORDS:
        assert len(re.findall(re.escape(name) + r"\b", text + shown)) > 1, name


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    assert re.fullmatch(r"Harmony([A-Z][a-z]+)+", name)
    assert alert["labels"]["severity"] in SEVERITIES
    assert re.fullmatch(r"\d+[mh]", alert["for"])
    notes = alert["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert notes["runbook_url"] == f"docs/operations.md#alert-{name.lower()}"
    assert len(notes["summary"]) <= 90


def test_what_was_asked_for_is_there() -> None:
    wanted = {
        *("HarmonyMetricsStale", "HarmonyFallbackActive", "HarmonyCoverageOff"),
        *("HarmonyBudgetExhausted", "HarmonyDecisionLatency", "HarmonyOperatorNotLeading"),
        *("HarmonyNotReady", "HarmonyWorkerDown", "HarmonyKubeErrors"),
    }
    assert wanted <= set(ALERTS)


@needs_promtool
def test_promtool_accepts_the_rules_and_the_configuration() -> None:
    syntax = ["promtool", "check", "config", "--syntax-only"]  # the key's file is elsewhere
    for command in (
        ["promtool", "check", "rules", "--lint-fatal", str(RULES)],
        ["promtool", "check", "rules", "--lint-fatal", str(PROMETHEUS / "indicators.example.yml")],
        ["promtool", "check", "rules", "--lint-fatal", str(PROMETHEUS / "counts.example.yml")],
        ["promtool", "check", "config", str(PROMETHEUS / "prometheus.yml")],
        [*syntax, str(PROMETHEUS / "remote-write.example.yml")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def cases() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.load(CASES.read_text(), yaml.CSafeLoader)["tests"]
    return found


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    fires: set[str] = set()
    rests: set[str] = set()
    for case in cases():
        for asked in case["alert_rule_test"]:
            (fires if asked.get("exp_alerts") else rests).add(asked["alertname"])
    assert fires == set(ALERTS)
    assert rests == set(ALERTS)


def rules_about(alerts: frozenset[str]) -> dict[str, Any]:
    """The rules of alerts and what these read; promtool would evaluate the others in vain."""
    wanted = [ALERTS[name] for name in alerts]
    for rule in wanted:  # it grows: a record may read another
        wanted += [r for name, r in RECORDS.items() if name in rule["expr"] and r not in wanted]
    groups = yaml.load(RULES.read_text(), yaml.CSafeLoader)["groups"]
    for group in groups:
        group["rules"] = [rule for rule in group["rules"] if rule in wanted]
    return {"groups": [group for group in groups if group["rules"]]}


def write_cases(document: dict[str, Any], folder: Path) -> list[str]:
    """A file for promtool of each alert's cases, beside one of its rules; their paths."""
    by_alerts: dict[frozenset[str], list[dict[str, Any]]] = {}
    for case in document["tests"]:
        asked = frozenset(one["alertname"] for one in case["alert_rule_test"])
        by_alerts.setdefault(asked, []).append(case)
    written = []
    for n, (alerts, found) in enumerate(by_alerts.items()):
        about, file = folder / f"rules-{n}.yml", folder / f"cases-{n}.yml"
        about.write_text(yaml.dump(rules_about(alerts), Dumper=yaml.CSafeDumper))
        ours = {**document, "rule_files": [str(about)], "tests": found}
        file.write_text(yaml.dump(ours, Dumper=yaml.CSafeDumper))
        written.append(str(file))
    return written


@needs_promtool
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    document = yaml.load(CASES.read_text(), yaml.CSafeLoader)
    for case in document["tests"]:
        complete(case)
    command = ["promtool", "test", "rules", *write_cases(document, tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr


def complete(case: dict[str, Any]) -> None:
    """Add the severity, the runbook and the fixed annotations of the rule to what is expected."""
    for asked in case["alert_rule_test"]:
        for expected in asked.get("exp_alerts", []):
            notes = ALERTS[asked["alertname"]]["annotations"]
            labels = {"severity": ALERTS[asked["alertname"]]["labels"]["severity"]}
            expected["exp_labels"] = labels | (expected.get("exp_labels") or {})
            given = expected.get("exp_annotations") or {}
            runbook = {"runbook_url": notes["runbook_url"]}
            expected["exp_annotations"] = {**runbook, **fixed_notes(notes), **given}


def fixed_notes(notes: dict[str, str]) -> dict[str, str]:
    """Annotations that hold no template, as they come."""
    return {key: value for key, value in notes.items() if "{{" not in value}


def test_the_chart_embeds_the_same_rules() -> None:
    values = {"monitoring": {"prometheusRule": {"enabled": True, "labels": {"release": "prom"}}}}
    (rule,) = of_kind(render(values), "PrometheusRule")
    assert rule["spec"] == yaml.load(RULES.read_text(), yaml.CSafeLoader)
    assert rule["metadata"]["labels"]["release"] == "prom"
    values["monitoring"]["prometheusRule"]["runbookBase"] = "https://wiki.example/"
    (rule,) = of_kind(render(values), "PrometheusRule")
    urls = {
        r["annotations"]["runbook_url"]
        for group in rule["spec"]["groups"]
        for r in group["rules"]
        if "alert" in r
    }
    base = "https://wiki.example/operations.md#alert-"
    assert urls == {base + name.lower() for name in ALERTS}


def test_an_operator_alone_is_watched_and_what_runs_elsewhere_is_not_missed() -> None:
    (rule,) = of_kind(render(MATRIX["operator-only"]), "PrometheusRule")
    groups = yaml.load(RULES.read_text(), yaml.CSafeLoader)["groups"]
    kept = [g for g in groups if g["name"] in ("harmony-records", "harmony-operator")]
    assert rule["spec"]["groups"] == kept
    assert len(kept) == 2


def test_the_chart_scrapes_every_service_and_keeps_its_labels() -> None:
    manifests = render(
        {"monitoring": {"serviceMonitor": {"enabled": True}}, "scaler": {"enabled": True}}
    )
    monitor = named(manifests, "ServiceMonitor", "harmony")
    ports = {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]}
    assert all(e["honorLabels"] is True for e in monitor["spec"]["endpoints"])
    wanted = monitor["spec"]["selector"]["matchLabels"]
    (without,) = monitor["spec"]["selector"]["matchExpressions"]
    for service in of_kind(manifests, "Service"):
        labels = service["metadata"]["labels"]
        component = labels["app.kubernetes.io/component"]
        is_scraped = wanted.items() <= labels.items() and component not in without["values"]
        assert is_scraped == (component not in {"postgres", "redis"})
        if is_scraped:
            named_ports = [p["name"] for p in service["spec"]["ports"]]
            assert len(ports & set(named_ports)) == 1, component


def test_no_two_scrapes_of_a_pod_write_the_same_series() -> None:
    """`up` of a page that fails would be hidden by that of the other."""
    values = {"monitoring": {"serviceMonitor": {"enabled": True}}}
    (monitor,) = of_kind(render(values), "ServiceMonitor")
    told = {"sourceLabels": ["__metrics_path__"], "targetLabel": "metrics_path"}
    scrapes = [
        (one["port"], any(told.items() <= rule.items() for rule in one.get("relabelings", [])))
        for one in monitor["spec"]["endpoints"]
    ]
    assert len(scrapes) == len(set(scrapes)) == 4


def test_dashboards_are_given_to_the_sidecar() -> None:
    values = {"monitoring": {"dashboards": {"enabled": True}}}
    maps = [m for m in of_kind(render(values), "ConfigMap") if "dashboard" in m["metadata"]["name"]]
    sources = {p.name: p.read_text() for p in (REPO / "deploy/grafana/dashboards").glob("*.json")}
    assert {name: text for m in maps for name, text in m["data"].items()} == sources
    assert all(m["metadata"]["labels"]["grafana_dashboard"] == "1" for m in maps)
    none = {"enabled": True, "labels": {"grafana_dashboard": None}}
    maps = of_kind(render({"monitoring": {"dashboards": none}}), "ConfigMap")
    assert len([m for m in maps if "dashboard" in m["metadata"]["name"]]) == len(sources)
