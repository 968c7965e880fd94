"""docs/operations.md tells of every alert, condition, reason and Event, and of no alert gone."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from decider.planning import fallback
from services.admin.decisions.wording import GUARDS
from services.operator.cluster import targets
from services.operator.devices import claim_room
from services.operator.kueue import queue_room
from services.operator.plan import supply_sources
from services.operator.reconcile import budgets
from services.operator.report import conditions, events, room, supply
from services.operator.resource.status import CONDITION_TYPES

REPO = Path(__file__).parents[3]
RUNBOOK = REPO / "docs" / "operations.md"
TEXT = RUNBOOK.read_text()
RULES = sorted((REPO / "deploy" / "prometheus" / "rules").glob("*.yml"))
WORDS = set(re.findall(r"`([A-Za-z]+)`", TEXT))


def slug(heading: str) -> str:
    """The anchor that renderers give a heading."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


ANCHORS = {slug(heading) for heading in re.findall(r"^#+ (.+)$", TEXT, re.M)}


def alerts() -> dict[str, dict[str, Any]]:
    groups = [g for path in RULES for g in yaml.safe_load(path.read_text())["groups"]]
    return {rule["alert"]: rule for g in groups for rule in g["rules"] if "alert" in rule}


def constants(module: Any) -> set[str]:
    """Words like `TargetNotFound` that a module holds as strings: reasons, most of them."""
    tree = ast.parse(Path(module.__file__).read_text())
    found = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {word for word in found if re.fullmatch(r"[A-Z][a-z]+[A-Za-z]*|[A-Z]{3}[A-Za-z]+", word)}


def test_every_alert_has_a_runbook_and_points_to_it() -> None:
    found = alerts()
    assert len(found) > 10
    for name, rule in found.items():
        anchor = f"alert-{name.lower()}"
        assert anchor in ANCHORS, f"docs/operations.md has no heading 'Alert {name}'"
        assert rule["annotations"]["runbook_url"].endswith(f"operations.md#{anchor}"), name


def test_there_is_no_runbook_for_an_alert_that_is_gone() -> None:
    assert set(re.findall(r"^### Alert (\w+)$", TEXT, re.M)) == set(alerts())


def test_every_runbook_says_what_it_means_where_to_look_and_what_to_do() -> None:
    for section in TEXT.split("\n### Alert ")[1:]:
        for word in ("**Means** ", "**Look** ", "**Do** "):
            assert word in section, section.splitlines()[0]


@pytest.mark.parametrize("condition", CONDITION_TYPES)
def test_every_condition_has_a_row(condition: str) -> None:
    assert re.search(rf"^\| `{condition}` ", TEXT, re.M), condition


ROOM = (room, queue_room, claim_room)
MODULES = (conditions, targets, events, budgets, supply, supply_sources, *ROOM)


@pytest.mark.parametrize("module", MODULES)
def test_every_reason_is_explained(module: Any) -> None:
    known = {"True", "False", "Unknown", "Normal", "Warning", "Advisory", "Event", "Args"}
    missing = constants(module) - WORDS - known
    assert sorted(missing) == [], f"{module.__name__}: no word of it in docs/operations.md"


def test_reasons_made_from_words_of_the_decision_are_explained() -> None:
    rungs = [fallback.TRAILING, fallback.REACTIVE, fallback.HOLD_IF_HIGHER, fallback.STATIC]
    bound = ["gpu_budget", "min_replicas", "max_replicas", ""]
    words = [*rungs, fallback.HOLD, *bound, *(set(GUARDS) - {"fleet"})]
    camel = {"".join(part.capitalize() for part in word.split("_")) or "Limited" for word in words}
    assert sorted(camel - WORDS) == []


def test_links_within_the_page_lead_somewhere() -> None:
    assert {
        target for target in re.findall(r"\]\(#([^)]+)\)", TEXT) if target not in ANCHORS
    } == set()


@pytest.mark.parametrize("page", ["operations.md", "kubectl.md"])
def test_links_to_other_files_lead_somewhere(page: str) -> None:
    path = REPO / "docs" / page
    linked = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", path.read_text())
    assert [name for name in linked if not (path.parent / name).exists()] == []


def test_values_of_the_chart_exist() -> None:
    chart = REPO / "helm" / "harmony" / "values.yaml"
    values = yaml.safe_load(chart.read_text())
    tops = "|".join(values)
    named = re.findall(rf"`((?:{tops})(?:\.[A-Za-z_]+)+)(?:=[^`]*)?`", TEXT)
    named += re.findall(rf"--set ((?:{tops})(?:\.[A-Za-z_]+)+)=", TEXT)
    assert len(named) > 10
    for name in named:
        node: Any = values
        for part in name.split("."):
            if part == "QUEUE":  # stands for any of them
                break
            assert part in node, f"{name} is no value of the chart"
            node = node[part]
