"""The document and its tables say the same."""

from __future__ import annotations

import json

from services.lab.bench.supply import document as tables
from services.lab.bench.supply.options import HEADROOM, HPA
from services.lab.bench.supply.run import SupplyCell
from services.simulator.policies.rivals import HARMONY
from tests.unit.lab.bench.supply.small import setting

CELL = SupplyCell(
    "made",
    7,
    300.0,
    (
        setting(HPA, 0.05, 50.0),
        setting(HPA, 0.03, 80.0),
        setting(HEADROOM, 0.01, 100.0),
        setting(HEADROOM, 0.002, 140.0),
        setting(HARMONY, 0.01, 90.0, promise=0.01, n_held=2, lead_times=(10, 9)),
    ),
)


def test_every_setting_is_a_run_and_the_document_is_json() -> None:
    found = json.loads(json.dumps(tables.supply_document([CELL])))
    assert set(found) == {"runs", "summary"}
    assert len(found["runs"]) == 5
    own = found["runs"][-1]
    assert (own["policy"], own["promised"], own["held_scale_ups"]) == (HARMONY, 0.01, 2)
    assert own["lead_time_coverage_90"] == 0.9
    assert "promised" not in found["runs"][0]
    assert found["runs"][0]["startup_s"] == 300.0


def test_node_hours_at_the_promise_and_who_does_not_reach_it() -> None:
    (row,) = tables.matched_rows([CELL])
    assert (row[HPA], row[HEADROOM], row[HARMONY]) == ("not reached", "100", "90")
    assert (row[f"/ {HPA}"], row[f"/ {HEADROOM}"]) == ("", "0.900")
    assert row["/ best rival"] == "0.900"
    assert row["start-up"] == "5 min"


def test_node_hours_where_no_service_is_out_of_sla_for_longer_than_promised() -> None:
    """A mean of 1 % is no promise kept where one service has 2 %."""
    settings = (
        setting(HEADROOM, 0.01, 100.0, worst=0.02),
        setting(HEADROOM, 0.006, 150.0, worst=0.01),
        setting(HARMONY, 0.01, 90.0, worst=0.02, promise=0.01),
        setting(HARMONY, 0.006, 120.0, worst=0.01, promise=0.003),
    )
    cell = SupplyCell("made", 7, 300.0, settings)
    (mean,), (worst,) = tables.matched_rows([cell]), tables.matched_rows([cell], "worst_rate")
    assert (mean[HEADROOM], mean[HARMONY]) == ("100", "90")
    assert (worst[HEADROOM], worst[HARMONY], worst[f"/ {HEADROOM}"]) == ("150", "120", "0.800")


def test_the_best_setting_of_a_rival_is_the_cheapest_that_keeps_the_promise_else_the_safest() -> (
    None
):
    hpa, held = tables.best_rows([CELL])
    assert (hpa["policy"], hpa["out of SLA"], hpa["worst service"]) == (HPA, "3.00 %", "3.00 %")
    assert (held["policy"], held["node-hours"]) == (HEADROOM, "100")


def test_what_harmony_was_told_and_what_came_of_it() -> None:
    (row,) = tables.told_rows([CELL])
    assert (row["promised"], row["out of SLA"], row["held"]) == ("1.00 %", "1.00 %", 2)
    assert row["in the 90 % interval"] == "90 %"
    rows = tables.summary_rows(tables.supply_document([CELL]))
    assert len(rows) == 7
    assert {"figure": "node_hours_vs_best_rival", "value": 0.9} in rows
