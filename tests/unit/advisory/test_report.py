"""The advisory report as JSON and as CSV: nothing unknown is a number."""

from __future__ import annotations

import csv
import json
from io import StringIO

import pytest

from services.advisory.report import to_csv, to_json
from tests.unit.advisory.reported import report, service

KNOWN, UNKNOWN = service(), service("prod/quiet", is_known=False)


def test_the_document_has_both_sides_and_their_intervals() -> None:
    found = json.loads(json.dumps(to_json(report(KNOWN, UNKNOWN))))
    assert (found["from_at"], found["block_hours"]) == ("2025-12-29T12:00:00+00:00", 24.0)
    known, unknown = found["services"]
    assert known["comparison"]["today_usd"] == 1000.0
    assert known["comparison"]["harmony_usd"]["value"] == 800.0
    assert known["comparison"]["cost_change"] == {"value": -0.2, "low": -0.2, "high": -0.2}
    assert (known["today"]["source"], known["kind"]) == ("measured", "DemandFraction")
    assert known["undecided_hours"] == 6.0
    assert unknown["comparison"] is None
    assert unknown["compared"]["cost_usd"] is None
    assert "not known: Harmony decided nothing" in unknown["verdict"]
    assert found["fleet"]["harmony_believed_ratio"]["value"] == 0.01
    assert [day["day"] for day in found["days"]] == ["2026-01-08"]
    assert found["left_out"] == [{"workload": "prod/ours", "reason": "Harmony scales it"}]


def test_a_line_of_csv_per_service_leaves_empty_what_is_not_known() -> None:
    known, unknown = csv.DictReader(StringIO(to_csv(report(KNOWN, UNKNOWN))))
    assert (known["workload"], unknown["workload"]) == ("prod/chat", "prod/quiet")
    assert float(known["compared_cost_usd"]) == 1000.0
    assert float(known["compared_measured_ratio"]) == 0.03
    assert float(known["harmony_usd"]) == 800.0
    assert float(known["ratio_change_low"]) == pytest.approx(-0.01)
    assert float(unknown["today_cost_usd"]) == 1000.0
    assert {unknown[name] for name in ("harmony_usd", "cost_change", "compared_cost_usd")} == {""}
    assert known.keys() == unknown.keys()


def test_nothing_is_a_header() -> None:
    assert to_csv(report()) == "workload\n"
    assert to_json(report())["fleet"] is None
