"""Tables of documents."""

from __future__ import annotations

import pytest

from services.lab.bench.decide.document import to_document
from services.lab.bench.decide.report import (
    ablation_rows,
    deployed_rows,
    matched_rows,
    overall_rows,
    summary_rows,
    verdict,
)
from services.lab.bench.forecast.report import markdown
from tests.unit.lab.bench.decide.results import make_result


@pytest.fixture(scope="module")
def document() -> dict:
    harder = make_result("b", trailing=((0.001, 2.0), (0.01, 1.2), (0.05, 1.0)))
    return to_document([make_result("a"), harder])


def test_the_matched_table_marks_the_best_rival_and_what_is_not_reached(document: dict) -> None:
    rows = {row["policy"]: row for row in matched_rows(document["datasets"][0])}
    assert rows["trailing_percentile"]["cost at 1 %"] == "2.000 *"
    assert rows["hpa"]["cost at 1 %"] == "not reached"
    assert rows["harmony"]["cost at 1 %"] == "1.500"
    assert rows["forecast_quantile"]["kind"] == "reads forecasts"
    assert next(iter(rows)) == "harmony"


def test_the_deployed_table_shows_setting_and_whether_it_kept_the_promise(document: dict) -> None:
    rows = {row["policy"]: row for row in deployed_rows(document["datasets"][0], "0.01")}
    assert rows["harmony"]["out of SLA"] == "1.20%"
    assert rows["harmony"]["kept when chosen"] is None
    assert rows["hpa"]["kept when chosen"] == "no"
    assert rows["trailing_percentile"]["setting"] == "trailing_percentile 1"
    assert next(iter(rows)) == "oracle"


def test_ablations_are_set_against_harmony_as_deployed(document: dict) -> None:
    rows = {row["arm"]: row for row in ablation_rows(document, "0.01")}
    assert rows["harmony"]["cost / harmony"] == "1.000"
    assert rows["fixed_lead_time"]["cost / harmony"] == f"{1.2 / 1.4:.3f}"
    assert rows["fixed_lead_time"]["out of SLA"] == "2.00%"
    assert rows["fixed_lead_time"]["gap, points"] == "1.00"
    assert rows["fixed_lead_time"]["matched cost / harmony"] is None
    assert rows["forecast_quantile"]["matched cost / harmony"] == f"{1.6 / 1.5:.3f}"


def test_the_summary_has_a_row_per_data_set_and_their_mean(document: dict) -> None:
    rows = summary_rows(document, "0.01")
    assert [row["data"] for row in rows] == ["a", "b", "mean of 2"]
    assert [row["/ best rival"] for row in rows] == ["0.750", "1.250", "0.968"]
    assert rows[1]["/ HPA"] is None
    assert all(row.keys() == rows[0].keys() for row in rows)
    assert markdown(rows).count("\n") == 4


def test_the_overall_table_counts_the_sets_that_a_policy_reaches(document: dict) -> None:
    rows = {row["policy"]: row for row in overall_rows(document)}
    assert rows["hpa"]["sets at 1 %"] == "0 of 2"
    assert rows["hpa"]["cost at 1 %"] is None
    assert rows["trailing_percentile"]["sets at 1 %"] == "2 of 2"
    assert rows["trailing_percentile"]["cost at 1 %"] == f"{(2.0 * 1.2) ** 0.5:.3f}"


def test_the_verdict_says_what_is_missed(document: dict) -> None:
    words = verdict(document, "0.01")
    assert "0.968 of the best rival's" in words
    assert "at worst 1.250" in words
    assert "HPA reaches the rate on no data set" in words
    missed = make_result("missed", harmony=((0.02, 2.0), (0.03, 1.5), (0.05, 1.25)))
    words = verdict(to_document([missed, make_result("fine")]), "0.01")
    assert "at worst unbounded" in words
    assert "misses the rate on missed" in words


def test_an_interval_from_few_days_is_said_to_be_too_narrow() -> None:
    result = make_result("short", replicates={0.01: [-0.1, -0.2], 0.05: [-0.1]})
    found = to_document([result])
    assert found["datasets"][0]["bootstrap_days"] < 5
    assert found["datasets"][0]["bootstrap_blocks"] == 6
    assert found["summary"]["0.01"]["ci_few_days"] == ["short"]
    assert "too narrow: fewer than 5 days counted on short" in verdict(found, "0.01")
    found["summary"]["0.01"]["ci_few_days"] = []
    assert "too narrow" not in verdict(found, "0.01")


def test_an_interval_says_how_many_resamples_it_leaves_out() -> None:
    """Where Harmony misses the rate in two of four, those four are no evidence that it does not."""
    nan = float("nan")
    one = make_result("one", replicates={0.01: [-0.1, nan, -0.2, nan], 0.05: [-0.1] * 4})
    found = to_document([one, make_result("two", replicates={0.01: [-0.1] * 4})])
    assert found["summary"]["0.01"]["ci_replicates_used"] == 2
    assert "leaves out 2 of 4 resamples" in verdict(found, "0.01")
    assert "leaves out" not in verdict(found, "0.05")
