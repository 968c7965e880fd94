"""The fleet's page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from services.admin.deps import AdminDeps
from services.admin.fleet import page as fleet_page
from services.admin.fleet.page import saved
from services.admin.rest.formats import usd
from services.admin.workloads import service
from services.admin.workloads.schemas import SpentHour
from services.kernel.clock import FixedClock
from tests.integration.admin.console_visitor import OWN
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def shown(page: str) -> list[str]:
    """Workloads of a fleet page, in order."""
    return re.findall(r'<a id="w-[^"]+"[^>]*>([^<]+)</a>', page)


def with_variants(database: Engine) -> None:
    """One workload is left, on two H100 of four GPUs and five L4 of one."""
    kinds = [
        {"name": "big", "target": "Deployment/a", "gpu_type": "H100", "gpus_per_replica": 4},
        {"name": "small", "target": "Deployment/b", "gpu_type": "L4", "gpus_per_replica": 1},
    ]
    seen = {
        "big": {"spec": 2, "ready": 1, "starting": 1, "pending": 0},
        "small": {"spec": 5, "ready": 5, "starting": 0, "pending": 0},
    }
    given = {"kinds": json.dumps(kinds), "seen": json.dumps(seen)}
    with database.begin() as connection:
        statement = "UPDATE workloads SET is_active = name = 'llama-70b-chat'"
        connection.execute(text(statement))
        statement = (
            "UPDATE workloads SET spec = spec || jsonb_build_object("
            "'variants', CAST(:kinds AS jsonb)) WHERE is_active"
        )
        connection.execute(text(statement), given)
        statement = (
            "UPDATE replica_states SET variants = CAST(:seen AS jsonb), ready_replicas = 6, "
            "starting_replicas = 1"
        )
        connection.execute(text(statement), given)


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
    with database.begin() as connection:
        connection.execute(text("UPDATE outcomes SET cost_usd = 0"))
    free = console.get("/fleet/trend").text
    assert "<dd>–</dd>" in free, "of what costs nothing no share can be saved"
    assert "– less than each workload" in free


def test_the_trend_says_where_it_sums_up_the_first_workloads_only(
    console, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "by name only" not in console.get("/fleet/trend").text
    monkeypatch.setattr(service, "_MAX_NAMED", 2)
    assert (
        "These sums are of the first 2 workloads by name only" in console.get("/fleet/trend").text
    )


def test_saved_is_against_each_workload_at_its_largest_size() -> None:
    hours = [
        SpentHour(hour_at=NOW, gpu_hours=1, gpus=1, cost_usd=cost, held_usd=40.0)
        for cost in (40.0, 20.0)
    ]
    assert saved(hours) == pytest.approx(0.25)
    assert saved([]) is None


def test_gpus_are_those_of_each_variant_as_its_budget_counts_them(
    console, database: Engine
) -> None:
    """Two H100 of four GPUs and five L4 of one: not seven replicas of the first kind."""
    with_variants(database)
    page = console.get("/").text
    assert "<dd>13</dd>" in page
    assert "8 H100 · 5 L4" in page


def test_every_kind_of_replica_is_named(console, viewer, database: Engine) -> None:
    with_variants(database)
    counts = [{"name": "big", "gpu_type": "H100", "current": 2, "desired": 3}]
    with database.begin() as connection:
        statement = text("UPDATE decisions SET variants = CAST(:counts AS jsonb)")
        connection.execute(statement, {"counts": json.dumps(counts)})
    (found,) = viewer.get("/v1/workloads").json()["items"]
    each = [(one["name"], one["replicas"], one["desired_replicas"]) for one in found["parts"]]
    assert each == [("big", 2, 3), ("small", 5, None)]
    for address in ("/", OWN, f"{OWN}/policy"):
        assert "4 × H100 · 1 × L4" in console.get(address).text, address
    assert "GPU-hours at" not in console.get(f"{OWN}/live").text


def test_the_hour_that_is_running_shows_the_gpus_that_are_held(
    deps: AdminDeps, database: Engine
) -> None:
    """Ten minutes into an hour the fleet does not look a sixth as large as it is."""
    with database.begin() as connection:
        connection.execute(text("UPDATE outcomes SET gpu_hours = 20.0 / 12, cost_usd = 5"))
        ends = {"now": NOW - timedelta(minutes=50)}
        connection.execute(text("DELETE FROM outcomes WHERE step_at >= :now"), ends)
    hours = service.get_trend(replace(deps, clock=FixedClock(ends["now"])), {}).hours
    assert len(hours) > 2
    assert hours[-1].gpu_hours == pytest.approx(10.0)
    assert [hour.gpus for hour in hours] == pytest.approx([60.0] * len(hours))


def test_a_search_from_a_later_page_is_not_narrowed_to_that_page_again(
    console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is shown the shown part itself says from where on it is: it is refreshed by that."""
    monkeypatch.setattr(fleet_page, "_PAGE_SIZE", 1)
    following = re.search(r'href="(/\?cursor=[^"]+)">Next page', console.get("/").text)
    assert following is not None
    second = console.get(following[1]).text
    refreshed = re.search(r'<div id="fleet" hx-get="([^"]+)"[^>]*hx-include="([^"]+)"', second)
    assert refreshed is not None
    assert refreshed.groups() == ("/fleet", "#filters, #shown-from")
    shown_from = r'<input type="hidden" id="shown-from" name="cursor" value="([^"]+)">'
    cursor = re.search(shown_from, second)
    assert cursor is not None
    assert shown(console.get(f"/fleet?cursor={cursor[1]}").text) == shown(second)
    assert re.search(shown_from, console.get("/fleet?search=sdxl").text) is None


def tiles(page: str) -> dict[str, str]:
    """Figures of the tiles by their titles."""
    found = re.findall(r"<div><dt>(.*?)</dt>\s*<dd[^>]*>(.*?)</dd>", page, re.DOTALL)
    return {title: re.sub(r"<[^>]+>", "", value) for title, value in found}


@pytest.mark.parametrize("asked", ["", "?sort=cost", "?sort=budget&reverse=true", "?reverse=true"])
def test_totals_are_of_the_whole_fleet_in_any_order(
    console, database: Engine, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """A page shows some of the workloads; what they come to is of all."""
    with database.connect() as connection:
        spent = connection.execute(text("SELECT sum(cost_usd) FROM outcomes")).scalar_one()
    whole = tiles(console.get("/").text)
    monkeypatch.setattr(fleet_page, "_PAGE_SIZE", 1)
    page = console.get(f"/{asked}").text
    assert len(shown(page)) == 1
    assert tiles(page) == whole
    assert tiles(console.get(f"/fleet/totals{asked}").text) == whole
    assert (whole["Workloads"], whole["Cost, last 24 h"]) == ("3", usd(spent))
    assert int(whole["GPUs allocated"]) > 0


def test_totals_are_of_the_workloads_asked_for(console, database: Engine) -> None:
    assert tiles(console.get("/fleet/totals?search=llama").text)["Workloads"] == "1"
    assert tiles(console.get("/fleet/totals?mode=Approval").text)["Workloads"] == "1"
    assert tiles(console.get("/fleet/totals?state=paused").text)["Workloads"] == "0"
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET spec = 'null' WHERE name = 'sdxl-turbo'"))
    assert tiles(console.get("/").text)["Workloads"] == "2", "one that cannot be read hides none"


def leave(database: Engine, name: str) -> None:
    """As the operator notes it when a GPUAutoscaler is deleted."""
    statement = "UPDATE workloads SET is_active = false, updated_at = :now WHERE name = :name"
    with database.begin() as connection:
        connection.execute(text(statement), {"now": NOW, "name": name})


def test_what_one_cost_that_left_stays_in_the_totals(
    console, deps: AdminDeps, database: Engine
) -> None:
    before = tiles(console.get("/").text)
    hours = service.get_trend(deps, {}).hours
    spent = service.get_workload(deps, "diffusion", "sdxl-turbo").cost_usd
    leave(database, "sdxl-turbo")
    page = console.get("/fleet/totals").text
    after = tiles(page)
    assert after["Cost, last 24 h"] == before["Cost, last 24 h"]
    assert f"{usd(spent)} of it of 1 that left" in page
    assert (before["Workloads"], after["Workloads"]) == ("3", "2")
    assert int(after["GPUs allocated"]) < int(before["GPUs allocated"])
    assert service.get_trend(deps, {}).hours == hours
    assert tiles(console.get("/fleet/totals?mode=Approval").text)["Cost, last 24 h"] == usd(spent)
    paused = console.get("/fleet/totals?state=paused").text
    assert tiles(paused)["Cost, last 24 h"] == "–", "it is in no state any more"


def test_one_that_left_before_the_day_is_in_no_total(console, database: Engine) -> None:
    left = {"now": NOW - timedelta(days=2)}
    with database.begin() as connection:
        gone = "UPDATE workloads SET is_active = false, updated_at = :now WHERE name = 'sdxl-turbo'"
        connection.execute(text(gone), left)
        connection.execute(
            text(
                "DELETE FROM outcomes WHERE workload_id IN "
                "(SELECT id FROM workloads WHERE NOT is_active)"
            )
        )
    page = console.get("/fleet/totals").text
    assert tiles(page)["Workloads"] == "2"
    assert "that left" not in page
