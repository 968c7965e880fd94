"""The fleet's page."""

from __future__ import annotations

import re

import pytest

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
