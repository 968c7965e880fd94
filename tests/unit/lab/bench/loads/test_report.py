"""Tables and verdicts of a benchmark of several loads."""

from __future__ import annotations

from services.lab.bench.loads import report
from tests.unit.lab.bench.loads.documents import arm, document

DOCUMENT = document(
    vector=arm(1.04),
    levels=arm(1.0),
    lost=arm(1.0, [(0.2, 1.5), (0.3, 1.25), (0.4, 1.0)]),
    told=arm(0.99),
)


def test_costs_are_in_dollars_and_per_cent_over_harmony() -> None:
    rows = {row["arm"]: row for row in report.cost_rows(DOCUMENT, 0.01)}
    assert rows["full"]["$ / h"] == f"{1.25 * 20 * report.USD_PER_GPU_HOUR:.2f}"
    assert rows["full"]["over harmony, %"] == ""
    assert rows["vector"]["over harmony, %"] == "+4.00"
    assert rows["vector"]["95 % interval"] == "+4.00 to +4.00"
    assert rows["lost"]["over harmony, %"] == "not reached"
    assert rows["lost"]["95 % interval"] == ""


def test_the_verdict_names_what_costs_nothing_too() -> None:
    lines = report.verdict(DOCUMENT, [0.01])
    assert lines[0] == (
        "at 1.00% true: worth 2 % or more: vector +4.0 %; not shown to be: levels; "
        "never at that rate: lost"
    )
    assert lines[1] == "at 1.00% true: not knowing the response costs +1.01 %"


def test_rates_as_deployed_stand_beside_each_other() -> None:
    row = report.deployed_rows(DOCUMENT, 0.01)[0]
    assert (row["true = measured"], row["believed"]) == ("1.00%", "2.00%")
    assert row["truly over twice the promise"] == "0 of 4"


def test_it_is_told_which_loads_bind() -> None:
    assert report.bound_rows(DOCUMENT)[0] == {
        "draw": 1,
        "workload": "w0",
        "requests": "0.25",
        "tokens": "0.75",
    }
    assert "loads requests, tokens" in report.title(DOCUMENT)
