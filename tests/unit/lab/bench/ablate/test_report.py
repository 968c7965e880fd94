"""Tables of ablations, from documents made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.kernel.errors import InvalidInput
from services.lab.bench.ablate.report import (
    decision_rows,
    forecast_rows,
    load_documents,
    promises,
    set_rows,
    verdict_rows,
)
from tests.unit.lab.bench.ablate.documents import EPSILON, decided, document

ARMS = {"no_floor": (0.01, 2.2), "no_pacing": (0.1, 1.0)}
NAMES = ("a", "b")


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return [document(name, **ARMS) for name in NAMES]


def test_only_promises_that_all_documents_were_run_at_are_shown() -> None:
    one = {"epsilons": [0.05, 0.01, 0.1]}
    other = {"epsilons": [0.02, 0.1, 0.05]}
    assert promises([one, other]) == [0.05, 0.1]


def test_a_row_tells_what_was_left_out_and_what_came_of_it(documents: list[dict]) -> None:
    rows = {row["arm"]: row for row in decision_rows(documents, EPSILON)}
    assert list(rows) == ["no_floor", "no_pacing"]
    dearer, cheaper = rows["no_floor"], rows["no_pacing"]
    assert dearer["left out"] == "the reactive floor"
    assert (dearer["sets"], dearer["it changes"]) == (2, 2)
    assert (dearer["out of SLA"], cheaper["out of SLA"]) == ("1.00%", "10.00%")
    assert (dearer["gap"], cheaper["gap"]) == ("0.00", "9.00")
    assert (dearer["cost / harmony"], cheaper["cost / harmony"]) == ("1.100", "0.500")
    assert dearer["churn / harmony"] == "1.00"


def test_effects_are_shown_with_their_interval_and_the_sets_on_either_side(
    documents: list[dict],
) -> None:
    dearer, cheaper = decision_rows(documents, EPSILON)
    # all days are alike: a resample changes nothing
    assert dearer["cost at its rate, %"] == "+9.53 (+9.53 to +9.53)"
    assert dearer["cost: worse, better"] == "2, 0"
    assert cheaper["gap, points"] == "+9.00 (+9.00 to +9.00)"
    assert cheaper["gap: worse, better"] == "2, 0"


def test_the_middle_of_the_churn_leaves_out_sets_where_harmony_moves_nothing() -> None:
    one, other, still = (document(name, no_floor=(0.01, 2.2)) for name in "abc")
    one["decide"]["no_floor"] = decided(0.01, 2.2, churn=8.0)
    other["decide"]["no_floor"] = decided(0.01, 2.2, churn=32.0)
    still["decide"]["harmony"] = decided(0.01, 2.0, churn=0.0)
    (row,) = decision_rows([one, other, still], EPSILON)
    assert row["churn / harmony"] == "4.00"
    (alone,) = decision_rows([still], EPSILON)
    assert alone["churn / harmony"] == "nan"


def test_forecasts_are_told_by_losses_and_coverage(documents: list[dict]) -> None:
    (row,) = forecast_rows(documents)
    assert (row["arm"], row["left out"], row["sets"]) == ("uncalibrated", "online calibration", 2)
    assert row["CRPS, %"] == "-1.01 (-1.01 to -1.01)"
    assert row["crps: worse, better"] == "0, 2"
    assert row["99 % loss, %"] == "+2.96 (+2.96 to +2.96)"
    assert row["off 95 %, points"] == "+1.00 (+1.00 to +1.00)"
    # one set cannot earn a place by its coverage
    assert "coverage_95: worse, better" not in row


def test_the_verdict_joins_decisions_and_forecasts(documents: list[dict]) -> None:
    rows = {row["arm"]: row for row in verdict_rows(documents)}
    assert rows["no_floor"]["it earns"] == "cost at its rate, % at 1 %"
    assert rows["no_pacing"]["it earns"] == "gap, points at 1 %"
    assert rows["uncalibrated"]["it earns"] == "99 % loss, %; off 95 %, points"
    assert rows["uncalibrated"]["left out"] == "online calibration"


def test_one_arm_is_shown_set_by_set() -> None:
    documents = [document("a", no_floor=(0.01, 2.2)), document("b", no_floor=(0.02, 2.0))]
    first, second = set_rows(documents, EPSILON, "no_floor")
    assert (first["data"], second["data"]) == ("a", "b")
    assert (first["out of SLA"], second["out of SLA"]) == ("1.00%", "2.00%")
    assert (first["cost / harmony"], second["cost / harmony"]) == ("1.100", "1.000")
    assert first["churn / harmony"] == "1.00"
    assert first["cost at its rate, %"] == "+9.53 (+9.53 to +9.53)"
    assert second["gap, points"] == "+1.00 (+1.00 to +1.00)"


def write(folder: Path, name: str, content: object) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    return path


def test_documents_are_read_in_the_order_of_their_data_sets(tmp_path: Path) -> None:
    paths = [write(tmp_path, str(k), document(name)) for k, name in enumerate("cab")]
    assert [one["data"] for one in load_documents(paths)] == ["a", "b", "c"]


@pytest.mark.parametrize("content", [[], {"data": "a"}, {"data": "a", "yard": {}}])
def test_a_file_that_is_no_whole_document_is_named(tmp_path: Path, content: object) -> None:
    with pytest.raises(InvalidInput, match=r"other\.json: no whole document"):
        load_documents([write(tmp_path, "other", content)])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.json"):
        load_documents([tmp_path / "none.json"])


def test_a_data_set_counts_once(tmp_path: Path) -> None:
    path = write(tmp_path, "a", document("a"))
    with pytest.raises(InvalidInput, match="a: more than one run"):
        load_documents([path, path])
