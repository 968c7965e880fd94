"""What the console's pages say: fleet by filter and order, models, budgets, classes, audit."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from services.admin.deps import AdminDeps
from services.kernel.clock import FixedClock
from services.kernel.security.keys import Role
from tests.integration.admin.console_forms import open_form
from tests.integration.admin.console_visitor import OWN, person
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


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


def test_what_people_did_is_of_real_time_also_in_a_replay(deps: AdminDeps) -> None:
    """A demo replays another year; who changes a policy in it does so now."""
    real = FixedClock(NOW + timedelta(days=300))
    with person(replace(deps, wall=real), Role.ADMIN) as human:
        form = open_form(human, f"{OWN}/policy", max_replicas="20", confirmed="true")
        assert human.send(f"{OWN}/policy", form).status_code == 303
        assert "Last changed here just now by" in human.get(f"{OWN}/policy").text
        asked = {"workloads": "llm-prod/llama-70b-chat", "replay_hours": "2", "epsilons": "0.01"}
        refused = human.send("/backtests", asked)
        assert (refused.status_code, "policies" in refused.text) == (422, True)
        place = human.send("/backtests", asked | {"policies": "hpa"}).headers["location"]
        assert "asked for just now by" in human.get(place).text
