"""A workload's page, as it is read."""

from __future__ import annotations

import json
import re

import pytest
from sqlalchemy import Engine, text

from tests.integration.admin.app_client import AppClient
from tests.integration.admin.console_visitor import OWN

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_a_workload_page_reads_without_scripts(console) -> None:
    page = console.get(OWN).text
    for words in (
        "silver: at most 1 % in 7 d",
        "The last 12 hours as a table",
        "<caption>Replicas needed by the demand",
        f'href="{OWN}/timeline"',
        "Budget left",
        "believed 8.3 % of the time beyond capacity",
        "nothing measured: set spec.sla.objective",
        "of the SLA window, believed",
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


def test_further_loads_stand_beside_the_capacity(console, database: Engine) -> None:
    assert "is also bound by" not in console.get(OWN).text
    load = {"indicator": "queue_requests", "per_replica": 40.0, "counts": "served"}
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET spec = jsonb_set(spec, '{capacity,also_bound_by}', "
                "CAST(:loads AS jsonb)) WHERE name = 'llama-70b-chat'"
            ),
            {"loads": json.dumps([load])},
        )
    page = " ".join(console.get(OWN).text.split())
    assert "A replica carries 1,800 tokens/s, and is also bound by <code>queue_requests" in page
    assert "</code>: 40 requests" in page
    assert ">as served</span>" in page


def test_a_page_that_was_open_says_that_its_workload_is_gone(
    console: AppClient, database: Engine
) -> None:
    live = f"{OWN}/live"
    assert "Removed" not in console.get(live).text
    with database.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET is_active = false WHERE name = 'llama-70b-chat'")
        )
    assert "nothing is decided for it any more" in console.get(live).text
