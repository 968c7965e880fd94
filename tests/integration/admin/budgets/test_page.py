"""The budgets' page."""

from __future__ import annotations

import json

import pytest

from tests.integration.admin.app_client import AppClient
from tests.integration.admin.budgets.budget_rows import Fleet

pytestmark = pytest.mark.integration


def test_the_console_explains_the_budget_and_escapes_what_it_shows(
    console: AppClient, fleet: Fleet
) -> None:
    gave_up = [
        {"workload": "demo/<b>", "class": "gold", "priority": 200, "wanted": 17, "granted": 13,
         "gpus": 4}
    ]  # fmt: skip
    decision = fleet.decide(fleet.add("a", 1), 17, 13, n_cut=1, gave_up=gave_up)
    page = console.get(f"/decisions/{decision}").text
    assert "All workloads on H100 together may use 25 GPUs; 12 GPUs held by" in page
    assert "one GPU more would avert losses of about $3.20 per hour" in page
    assert "demo/&lt;b&gt; (gold, priority 200): 13 of 17 replicas, 4 GPUs given up" in page
    assert json.dumps(gave_up) not in page
