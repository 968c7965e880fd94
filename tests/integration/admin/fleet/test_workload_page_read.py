"""A workload's page, as it is read."""

from __future__ import annotations

import re

import pytest

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
