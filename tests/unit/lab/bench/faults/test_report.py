"""The document, its table, and what makes a run fail."""

from __future__ import annotations

import math

import pytest

from services.lab.bench.faults.bounds import Violation
from services.lab.bench.faults.kinds import KINDS
from services.lab.bench.faults.report import INVARIANTS, RunFacts, is_kept, rows, to_document
from services.lab.bench.faults.schedule import PlannedFault, StruckFault

FACTS = RunFacts(7, 5, 24, 100, 50, 1000, 3, 9)
STRUCK = [
    StruckFault(PlannedFault(KINDS[0], 0.0, 0.0), has_bitten=True),
    StruckFault(PlannedFault(KINDS[0], 1.0, 0.0), has_bitten=True),
    StruckFault(PlannedFault(KINDS[1], 2.0, 0.0)),
]


def test_a_run_in_which_all_held_is_kept() -> None:
    document = to_document(FACTS, STRUCK, [], {0: 1.0, 1: 3.0})
    assert is_kept(document)
    assert document["seed"] == 7
    assert document["faults"] == 3
    assert document["kinds"] == {KINDS[0].name: 2}
    assert document["not_bitten"] == [KINDS[1].name]
    assert document["superseded"] == 3
    assert document["recovery_s"] == {"p50": 3.0, "p95": 3.0, "max": 3.0}


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_one_violation_of_any_invariant_is_not(invariant: str) -> None:
    document = to_document(FACTS, STRUCK, [Violation(invariant, "here")], {})
    assert document[invariant] == 1
    assert document["offending"] == [f"{invariant}: here"]
    assert not is_kept(document)
    assert any(row["met"] == "NO" and row["value"] == 1 for row in rows(document))


@pytest.mark.parametrize("slow_s", [31.0, math.inf])
def test_a_slow_recovery_is_not(slow_s: float) -> None:
    document = to_document(FACTS, STRUCK, [], dict.fromkeys(range(3), slow_s))
    assert not is_kept(document)


def test_one_slow_recovery_of_many_is_told() -> None:
    recovery = {2: 60.0} | dict.fromkeys(range(3, 43), 1.0)
    document = to_document(FACTS, STRUCK, [], recovery)
    assert is_kept(document)
    told = {one["kind"]: one["recovery_s"] for one in document["timeline"]}
    assert told == {KINDS[0].name: None, KINDS[1].name: 60.0}
    figures = {row["figure"]: row["value"] for row in rows(document)}
    assert figures["recovery beyond a step, max, s"] == 60.0
