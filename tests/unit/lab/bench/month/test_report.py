"""The tables say what was saved, what it was scaled from, and what was broken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.lab.bench.month import report
from services.lab.bench.month.document import to_document
from services.lab.bench.month.source import MonthOptions
from tests.unit.lab.bench.month.sources import FLEET, TRACE, source

OPTIONS = MonthOptions(days=30, epsilon=0.01)


@pytest.fixture
def document() -> dict[str, Any]:
    return to_document([source(), source(TRACE, data="trace", days=3.0)], OPTIONS)


def row(part: dict[str, Any], policy: str) -> dict[str, object]:
    return next(one for one in report.rows(part, 0.01) if one["policy"] == policy)


def test_a_row_by_hand(document: dict[str, Any]) -> None:
    fleet = document["sources"][0]
    assert row(fleet, "static_peak") == {
        "policy": "static_peak",
        "GPU-hours": "1,600",
        "USD": "3,000",
        "out of SLA": "0.10 %",
        "worst": "0.20 %",
        "over promise": "0 of 2",
        "saved GPU-hours": "+600",
        "saved USD": "+1,000",
        "saved": "+33.3 %",
        "GPU-hours / 1,000 GPUs": "+300,000",
        "USD / 1,000 GPUs": "+500,000",
        "remark": "Harmony out of SLA more: 0.8 % > 0.1 %",
    }
    own = row(fleet, "harmony")
    assert (own["saved USD"], own["remark"], own["over promise"]) == (None, None, "1 of 2")
    assert row(fleet, "hpa")["remark"] is None
    assert row(fleet, "trailing_percentile")["remark"] == (
        "trailing_percentile broke the promise: 4 %"
    )


def test_a_broken_promise_is_in_every_row(document: dict[str, Any]) -> None:
    trace = document["sources"][1]
    rows = report.rows(trace, 0.01)
    assert all("PROMISE BROKEN by Harmony: 2 % > 1 %" in str(one["remark"]) for one in rows)
    assert str(row(trace, "trailing_percentile")["remark"]).endswith(
        "Harmony out of SLA more: 2 % > 1 %"
    )


def test_the_total_names_where_the_promise_was_broken() -> None:
    # so many workloads keep it elsewhere that the mean over all of them does too
    calm = FLEET | {"harmony": (1000.0, 2000.0, (0.0,) * 9)}
    document = to_document([source(calm), source(TRACE, data="trace", days=3.0)], OPTIONS)
    total = document["total"]
    assert total["policies"]["harmony"]["is_promise_kept"] is True
    for one in report.rows(total, 0.01):
        assert "broken by Harmony on trace" in str(one["remark"])
        assert "PROMISE BROKEN" not in str(one["remark"])


def test_titles_say_what_was_scaled(document: dict[str, Any]) -> None:
    fleet, trace, total = (report.title(part, 30) for part in report.parts(document))
    assert fleet == "fleet: 2 workloads, 2 GPUs of mean demand; 30 days measured"
    assert trace == "trace: 1 workloads, 2 GPUs of mean demand; 3 days measured, scaled to 30"
    assert total == (
        "total of 30 days: 3 workloads, 4 GPUs of mean demand; "
        "each source measured for 3 days or more"
    )
    assert len(report.parts(to_document([source()], OPTIONS))) == 1


def test_the_verdict_is_against_the_cheapest_rival_that_served_as_well(
    document: dict[str, Any],
) -> None:
    fleet, trace, _ = report.parts(document)
    assert report.verdict(fleet, 0.01) == (
        "Against hpa, the cheapest rival that served as well as was asked, "
        "Harmony took -200 GPU-hours and -500 USD (-20.0%)."
    )
    assert report.verdict(trace, 0.01) == (
        "Against trailing_percentile, the cheapest rival that served as well as was asked, "
        "Harmony took -200 GPU-hours and -500 USD (-16.7%). Harmony broke the promise: 2 %."
    )


def test_the_verdict_admits_a_loss_and_ignorance() -> None:
    dear = FLEET | {"harmony": (1300.0, 2600.0, (0.004, 0.006))}
    (lost,) = report.parts(to_document([source(dear)], OPTIONS))
    assert "took +100 GPU-hours and +100 USD (+4.0%)." in report.verdict(lost, 0.01)
    alone = {name: (hours, usd, (0.5, 0.5)) for name, (hours, usd, _) in FLEET.items()}
    alone |= {"harmony": FLEET["harmony"], "oracle": FLEET["oracle"]}
    (best,) = report.parts(to_document([source(alone)], OPTIONS))
    assert report.verdict(best, 0.01) == "No rival served as well as was asked."
    unknown = FLEET | {"harmony": (1.0, 1.0, (np.nan, np.nan))}
    (none,) = report.parts(to_document([source(unknown)], OPTIONS))
    assert report.verdict(none, 0.01) == "Nothing can be said: no demand was known."
    assert row(none, "hpa")["remark"] == "rate unknown"
    assert row(none, "harmony")["out of SLA"] is None


def test_settings_and_assumptions_are_printed() -> None:
    document = to_document([source(kept={"hpa": False, "static_peak": True})], OPTIONS)
    (part,) = report.parts(document)
    words = report.settings(part)
    assert "hpa set hpa (missed the promise where chosen)" in words
    assert "static_peak set static_peak;" in words
    assert report.settings(document["total"] | {"policies": {"hpa": {}}}) == ""
    lines = report.assumptions(document)
    assert "All of fleet is made up." in lines
    assert "Forecaster of the fleet: none." in lines
    assert not any("Scaled" in line for line in lines)
    scaled = to_document([source(days=1.0)], OPTIONS)
    assert any("Scaled" in line for line in report.assumptions(scaled))
