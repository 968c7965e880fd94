"""docs/metrics.md is what telemetry declares, and everything declared is set by some service."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from services.exporter.metrics import METRICS as EXPORTED_METRICS
from services.kernel import telemetry

REPO = Path(__file__).parents[3]
METRICS = {k: v for k, v in vars(telemetry).items() if isinstance(v, MetricWrapperBase)}
_TAKES_AWAY = {"remove", "clear"}


def full_name(metric: MetricWrapperBase) -> str:
    name = metric._name
    return f"{name}_total" if metric._type == "counter" else str(name)


def documented() -> dict[str, tuple[str, tuple[str, ...]]]:
    """(type, labels) of each metric in the table."""
    rows = re.findall(
        r"^\| `(harmony_\w+)` \| (\w+) \| ([^|]+) \| [^|]+ \|$",
        (REPO / "docs" / "metrics.md").read_text(),
        re.M,
    )
    return {
        name: (kind, () if labels.strip() == "–" else tuple(labels.strip().split(", ")))
        for name, kind, labels in rows
    }


def test_the_table_is_what_is_declared() -> None:
    declared = {full_name(m): (m._type, tuple(m._labelnames)) for m in METRICS.values()}
    of_workloads = {one.full_name: ("gauge", one.labels) for one in EXPORTED_METRICS}
    assert not declared.keys() & of_workloads.keys()
    assert documented() == declared | of_workloads


class Uses(ast.NodeVisitor):
    """Names `N` of `telemetry.N`, but for those whose series are only taken away."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit_Attribute(self, node: ast.Attribute) -> None:
        inner = node.value
        is_metric = isinstance(inner, ast.Attribute) and is_telemetry(inner.value)
        if is_metric and node.attr in _TAKES_AWAY:
            return
        if is_telemetry(inner):
            self.found.add(node.attr)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if names != ["_FIGURES"]:  # gauges that a standby takes away
            self.generic_visit(node)


def is_telemetry(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "telemetry"


@cache
def uses() -> set[str]:
    visitor = Uses()
    for path in (REPO / "services").rglob("*.py"):
        if "lab" not in path.parts:
            visitor.visit(ast.parse(path.read_text()))
    # Set where it is declared, as a process starts.
    inside = ast.parse((REPO / "services" / "kernel" / "telemetry.py").read_text())
    called = {
        n.func.value.func.value.id
        for n in ast.walk(inside)
        if isinstance(n, ast.Call)
        and isinstance(n.func, ast.Attribute)
        and isinstance(n.func.value, ast.Call)
        and isinstance(n.func.value.func, ast.Attribute)
        and isinstance(n.func.value.func.value, ast.Name)
    }
    counted = {
        n.value.id
        for n in ast.walk(inside)
        if isinstance(n, ast.Attribute)
        and n.attr in {"inc", "set", "observe"}
        and isinstance(n.value, ast.Name)
    }
    return visitor.found | called | counted


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_set_somewhere(name: str) -> None:
    assert name in uses(), f"harmony_{name} is declared and documented, and nothing sets it"


def test_a_metric_that_is_only_taken_away_is_not_set() -> None:
    visitor = Uses()
    visitor.visit(ast.parse("telemetry.a.labels(x).set(1)\ntelemetry.b.remove(x)\nf(telemetry.c)"))
    assert visitor.found == {"a", "c"}
