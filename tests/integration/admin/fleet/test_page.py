"""The fleet's page."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Engine, text

from services.admin.fleet.page import saved
from services.admin.workloads import service
from services.admin.workloads.schemas import SpentHour
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
    assert shown(budget)[-1] == "mixtral-agents", "the workload with most budget left is last"
    assert shown(console.get("/fleet?sort=budget&reverse=true").text) == shown(budget)[::-1]
    assert 'aria-sort="ascending"' in budget
    assert 'name="sort" value="budget"' in budget, "a search keeps the order"
    nothing = console.get("/?state=paused").text
    assert shown(nothing) == []
    assert "No workload matches" in nothing
    assert console.get("/?sort=colour").status_code == 422


def test_a_figure_names_its_source_in_every_row(console) -> None:
    page = console.get("/").text
    rows = {name: page.split(f">{name}</a>")[1].split("</tr>")[0] for name in shown(page)}
    for name, row in rows.items():
        is_measured = name == "mixtral-agents"
        assert (">measured</small>" in row) == is_measured, name
        assert (">believed</small>" in row) != is_measured, name
    assert "3 %" in rows["mixtral-agents"]
    assert "measured 3 % of minutes missed" in rows["mixtral-agents"]
    assert "believed 8.3 % of the time beyond capacity (nothing measured" in rows["llama-70b-chat"]
    assert "measured at 1 of 3; believed" in page


def test_the_trend_shows_gpus_cost_and_what_was_saved(console, database: Engine) -> None:
    page = console.get("/fleet/trend").text
    assert "<html" not in page
    for words in ("GPUs, hour by hour", "Cost, hour by hour", "Saved against the peak held"):
        assert words in page, words
    with database.connect() as connection:
        statement = "SELECT date_trunc('hour', step_at, 'UTC') AS hour FROM outcomes GROUP BY hour"
        n_hours = len(connection.execute(text(statement)).all())
    assert page.count("<rect") == 2 * n_hours
    assert console.get("/").text.count('hx-get="/fleet/trend"') == 1
    assert "<rect" not in console.get("/fleet/trend?search=nothing").text


def test_the_trend_says_where_it_sums_up_the_first_workloads_only(
    console, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "by name only" not in console.get("/fleet/trend").text
    monkeypatch.setattr(service, "_MAX_NAMED", 2)
    assert (
        "These sums are of the first 2 workloads by name only" in console.get("/fleet/trend").text
    )


def test_saved_is_against_each_workload_at_its_dearest_hour() -> None:
    hours = [
        SpentHour(hour_at=NOW, gpu_hours=1, cost_usd=cost, held_usd=40.0) for cost in (40.0, 20.0)
    ]
    assert saved(hours) == pytest.approx(0.25)
    assert saved([]) is None
