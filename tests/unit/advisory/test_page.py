"""The advisory page: what it says first, what it calls unknown, and that it loads nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.advisory.comparison import Ran, compare
from services.advisory.page import (
    notes,
    render_report,
    service_notes,
    table_rows,
    to_result,
    write_report,
)
from services.kernel.errors import InvalidInput
from tests.unit.advisory.reported import report, service, sums
from tests.unit.kernel.full_disk import full_disk

KNOWN, UNKNOWN = service(), service("prod/quiet", is_known=False)


def test_the_verdict_comes_first() -> None:
    page = render_report(report(KNOWN, UNKNOWN))
    verdict = "Harmony would have cost 20.0% less"
    assert page.index(verdict) < page.index("<table>")
    assert "1 of 2 services that Harmony does not scale can be compared" in page
    assert "What Harmony would have cost is not known: Harmony decided nothing" in page


def test_rows_say_measured_or_believed_and_unknown() -> None:
    known, unknown = table_rows(report(KNOWN, UNKNOWN))
    assert known == {
        "service": "prod/chat",
        "scaled by": "HorizontalPodAutoscaler/chat",
        "hours": "240.0 of 250.0",
        "cost USD": "1,000.00",
        "Harmony USD": "800.00 (800.00 to 800.00)",
        "out of SLA": "3.00% of requests, measured",
        "Harmony, believed": "1.00% (1.00% to 1.00%)",
        "promise": "1.50%",
    }
    assert (unknown["Harmony USD"], unknown["Harmony, believed"]) == ("unknown", "unknown")
    assert unknown["cost USD"] == "1,000.00"
    believed = replace(KNOWN, compared=replace(KNOWN.compared, measured_ratio=None))
    assert table_rows(report(believed))[0]["out of SLA"] == "2.00% of time, believed"
    never = replace(UNKNOWN, today=UNKNOWN.compared)
    (nothing,) = table_rows(report(never))
    assert (nothing["cost USD"], nothing["out of SLA"]) == ("unknown", "unknown")


def test_what_is_left_out_of_the_figures_is_said_beside_them() -> None:
    seconds = replace(KNOWN, unpriced_hours=0.02)
    assert "0.02 h of unknown cost" in service_notes(seconds)
    page = render_report(report(KNOWN))
    assert "6.0 h without a decision; 4.0 h of unknown cost; 12.0 h with a count" in page
    assert "57 measured start-up times." in page
    assert notes(report(KNOWN))[-1] == "Left out: prod/ours: Harmony scales it."


def test_a_broken_promise_has_its_colour() -> None:
    page = render_report(report(replace(KNOWN, kind="TimeFraction")))
    assert '<td class="bad">3.00% of time, measured</td>' in page
    assert '<td class="good">1.00% (1.00% to 1.00%)</td>' in page


def test_a_promise_about_requests_is_held_against_measured_requests_alone() -> None:
    """Time that is believed out of SLA broke it, or kept it, as if it were requests."""
    lean = replace(KNOWN, promise=0.005)
    assert "broken" not in lean.verdict
    assert lean.verdict.endswith(
        "The promise is about requests, at most 0.50%: under what ran 3.00% of them missed, "
        "measured, under Harmony's counts none can be."
    )
    page = render_report(report(lean))
    assert '<td class="bad">3.00% of requests, measured</td>' in page
    assert '<td class="">1.00% (1.00% to 1.00%)</td>' in page
    unmeasured = replace(lean, compared=replace(lean.compared, measured_ratio=None))
    assert "under what ran none were measured" in unmeasured.verdict
    assert '<td class="">2.00% of time, believed</td>' in render_report(report(unmeasured))


def test_a_promise_about_any_moment_is_held_against_no_share_of_time() -> None:
    lean = replace(KNOWN, promise=1e-4, kind="TimeFraction")
    assert "broken its promise of 0.01%" in lean.verdict
    any_moment = replace(lean, kind="AnyInWindow")
    assert "broken" not in any_moment.verdict
    page = render_report(report(any_moment))
    assert 'class="bad"' not in page
    assert '<td class="">3.00% of time, measured</td>' in page


def test_days_have_bars_of_the_dearest_one() -> None:
    page = render_report(report(KNOWN))
    assert "<td>Thu 2026-01-08</td><td>24.0</td><td>100.00</td><td>80.00</td>" in page
    assert 'class="ran" y="1" height="7" width="100.0"' in page
    assert 'class="own" y="10" height="7" width="80.0"' in page


def test_nothing_to_compare_is_a_page_too() -> None:
    page = render_report(report(UNKNOWN))
    assert "Nothing can be compared yet" in page
    assert "Day by day" not in page


def test_it_loads_nothing_and_escapes_names(tmp_path: Path) -> None:
    write_report(report(replace(KNOWN, workload="<script>x")), tmp_path / "a" / "week.html")
    page = (tmp_path / "a" / "week.html").read_text()
    assert "<script" not in page
    assert not re.search(r"(src|href)=[\"'](?!#)", page)
    assert "url(http" not in page


def test_who_asked_through_the_api_gets_figures_and_words_of_the_same_services() -> None:
    found = to_result(report(KNOWN, UNKNOWN))
    assert [one["workload"] for one in found["services"]] == ["prod/chat", "prod/quiet"]
    assert [row["workload"] for row in found["rows"]] == ["prod/chat", "prod/quiet"]
    assert [row["harmony_usd"] for row in found["rows"]] == [
        "800.00 (800.00 to 800.00)",
        "unknown",
    ]
    assert "Harmony would have cost 20.0% less" in found["verdict"]
    assert found["notes"][-1] == "Left out: prod/ours: Harmony scales it."
    assert json.loads(json.dumps(found)) == found


def test_a_page_that_finds_no_room_leaves_the_old_one_and_is_told(tmp_path: Path) -> None:
    file = tmp_path / "week.html"
    file.write_text("old")
    with full_disk(1000), pytest.raises(InvalidInput, match=r"week\.html: cannot be written: "):
        write_report(report(KNOWN), file)
    assert file.read_text() == "old"


def test_what_is_small_is_not_nothing() -> None:
    """A promise of a thousandth of a percent read as 0.00%, and so did a cost of 0.4 cents."""
    little = Ran(240.0, 0.004, 0.00003, 0.00004)
    strict = replace(KNOWN, promise=0.00001, today=little, compared=little)
    (row,) = table_rows(report(strict))
    assert (row["promise"], row["cost USD"]) == ("0.001%", "0.004")
    assert row["out of SLA"] == "0.004% of requests, measured"
    assert "at most 0.001%: under what ran 0.004% of them missed" in strict.verdict
    promised_time = replace(strict, kind="TimeFraction")
    assert "broken its promise of 0.001%: 1.00%, believed." in promised_time.verdict
    cheap = compare([sums(today=0.0004, harmony=0.0003)], np.random.default_rng(7))
    (row,) = table_rows(report(replace(KNOWN, comparison=cheap)))
    assert row["Harmony USD"] == "0.003 (0.003 to 0.003)"
