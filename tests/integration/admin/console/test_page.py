"""What the console's pages say: fleet by filter and order, models, budgets, classes, audit."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import Engine, insert, update

from services.admin.decisions.service import AdminDeps
from services.kernel.db import schema
from services.kernel.security.keys import Role
from tests.integration.admin.app_client import BASE_URL
from tests.integration.admin.console_visitor import OWN, audited, person
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def shown(page: str) -> list[str]:
    """Workloads of a fleet page, in order."""
    return re.findall(r'<a id="w-[^"]+"[^>]*>([^<]+)</a>', page)


def test_the_fleet_is_filtered_and_sorted_by_its_address(console) -> None:
    by_name = ["sdxl-turbo", "llama-70b-chat", "mixtral-agents"]
    assert shown(console.get("/").text) == by_name
    assert shown(console.get("/?reverse=true").text) == by_name[::-1]
    assert shown(console.get("/?mode=Approval").text) == ["sdxl-turbo"]
    assert shown(console.get("/?search=llm&sort=demand").text)[0] in by_name[1:]
    budget = console.get("/?sort=budget").text
    assert shown(budget)[-1] == "llama-70b-chat", "the workload with most budget left is last"
    assert shown(console.get("/fleet?sort=budget&reverse=true").text) == shown(budget)[::-1]
    assert 'aria-sort="ascending"' in budget
    assert 'name="sort" value="budget"' in budget, "a search keeps the order"
    nothing = console.get("/?state=paused").text
    assert shown(nothing) == []
    assert "No workload matches" in nothing
    assert console.get("/?sort=colour").status_code == 422


def test_the_page_shown_is_marked_in_the_navigation(console) -> None:
    for path, name in (
        ("/", "Fleet"),
        (OWN, "Fleet"),
        ("/decisions/100040", "Fleet"),
        ("/approvals", "Approvals"),
        ("/backtests", "Backtests"),
        ("/frontier", "Frontier"),
        ("/models", "Models"),
        ("/limits", "Budgets"),
    ):
        nav = console.get(path).text.split("</nav>")[0]
        assert re.findall(r'aria-current="page">([^<]+)<', nav) == [name], path


def test_a_workload_page_reads_without_scripts(console) -> None:
    page = console.get(OWN).text
    for words in (
        "silver: at most 1 % in 7 d",
        "The last 12 hours as a table",
        "<caption>Replicas needed by the demand",
        f'href="{OWN}/timeline"',
        "Budget left",
        "90 % within",
        "Demand lay below",
    ):
        assert words in page, words
    everything = console.get(f"{OWN}/timeline").text
    assert "<html" in everything
    assert 'href="/decisions/100047"' in everything
    older = re.search(rf'href="({OWN}/timeline\?[^"]*cursor=[^"]+)"', everything)
    assert older is not None
    assert "<html" in console.get(older.group(1).replace("&amp;", "&")).text
    part = console.get(f"{OWN}/timeline", headers={"HX-Request": "true"}).text
    assert "<html" not in part


def test_tables_have_captions_and_fields_have_labels(deps: AdminDeps) -> None:
    with person(deps, Role.ADMIN) as human:
        for path in ("/", OWN, "/approvals", "/backtests", "/models", "/limits", "/audit"):
            page = human.get(path).text
            for table in re.findall(r"<table.*?</table>", page, re.DOTALL):
                assert "<caption" in table, (path, table[:80])
            assert len(re.findall(r"<h1", page)) == 1, path
            for field in re.findall(r"<(?:input|select)[^>]*>", page):
                if 'type="hidden"' not in field and "aria-label=" not in field:
                    before = page[: page.index(field)]
                    assert before.rfind("<label") > before.rfind("</label>"), (path, field)


def test_models_show_their_back_tests_and_change_hands(deps: AdminDeps, database: Engine) -> None:
    blank = {"kind": "flow", "config": {}, "artifact": b"x"}
    metrics = {
        "backtest_crps": 0.07,
        "backtest_crps_best_simple": 0.1,
        "backtest_skill": 0.3,
        "rungs": {"a": "model", "b": "model", "c": "last_value"},
    }
    made = {
        "version": "harmony-flow-4",
        "status": "shadow",
        "reason": "back-test skill +0.300",
        "metrics": metrics,
        "created_at": NOW - timedelta(hours=1),
    }
    with database.begin() as connection:
        connection.execute(update(schema.models).values(artifact=b"x"))
        connection.execute(insert(schema.models).values(blank | made))
    with person(deps, Role.ADMIN) as human:
        page = human.get("/models").text
        for words in (
            "<strong>harmony-flow-3</strong> answers",
            "2 of 3",
            ">30 %<",
            "back-test skill +0.300",
        ):
            assert words in page, words
        done = human.send("/models/harmony-flow-4/promote", {"reason": "new tenant"})
        assert done.headers["location"] == "/models?done=promoted"
        page = human.get(done.headers["location"]).text
        assert "<strong>harmony-flow-4</strong> answers" in page
        assert "new tenant" in page
        twice = human.send("/models/harmony-flow-4/promote")
        assert (twice.status_code, "is promoted" in twice.text) == (409, True)
        assert human.send("/models/roll-back").status_code == 303
        assert human.send("/models/none/shadow").status_code == 404
        assert human.send("/models/train").headers["location"] == "/models?done=training"
        assert "Training queued" in human.get("/models").text
        again = human.send("/models/train")
        assert (again.status_code, "at most 1" in again.text) == (409, True)
    assert [action for _, action, _ in audited(database)] == [
        "model.promote",
        "model.roll_back",
        "train_model.submit",
    ]


def test_budgets_classes_and_freezes(deps: AdminDeps) -> None:
    freeze = {"until_at": (NOW + timedelta(days=2)).isoformat(), "reason": "holidays"}
    with person(deps, Role.OPERATOR) as human:
        made = human.post("/v1/freezes", json=freeze, headers={"Origin": BASE_URL})
        assert made.status_code == 201, made.text
        page = human.get("/limits").text
    for words in (
        "GPUBudget/hopper",
        "64",
        "silver",
        "Promised at most",
        "the whole fleet",
        "no changes",
    ):
        assert words in page, words


def test_the_audit_log_is_filtered_paged_and_checked(deps: AdminDeps, database: Engine) -> None:
    with person(deps, Role.ADMIN) as human:
        human.send(f"{OWN}/pause", {"direction": "ScaleIn", "lasting": "3600"})
        human.send(f"{OWN}/resume")
        page = human.get("/audit").text
        for words in ("pause.set", "pause.lift", "session.open", "pause.direction", "ScaleIn"):
            assert words in page, words
        some = human.get("/audit?action=pause.set&object=workload/llm").text
        assert "pause.lift" not in some.split("<tbody>")[1]
        assert "pause.set" in some.split("<tbody>")[1]
        assert "No entry matches" in human.get("/audit?to_at=2020-01-01T00:00").text
        assert human.get("/audit?from_at=soon").status_code == 422
        assert "The chain is intact" in human.get("/audit?check=true").text
        for _ in range(50):
            human.send(f"{OWN}/resume")
        first = human.get("/audit?action=pause.lift").text
        older = re.search(r'href="(/audit\?[^"]*cursor=[^"]+)"', first)
        assert older is not None
        rest = human.get(older.group(1).replace("&amp;", "&")).text.split("<tbody>")[1]
        assert rest.count("pause.lift</a>") == 1
        assert "pause.set" not in rest
    with person(deps, Role.ADMIN, ["llm-prod"]) as human:
        assert human.get("/audit").status_code == 403
        assert 'href="/audit"' not in human.get("/").text
