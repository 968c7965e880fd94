"""Finished steps settled: rows that stay open, and two ledgers that count each step once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from decider import RiskControlConfig, RiskState, StepOutcome
from services.decision.decide.ledgers import Finality, SettledStep, learn, settle
from services.decision.decide.outcomes import WorkloadOutcomes
from services.decision.rows.inputs import ShardRows
from services.decision.rows.measured import MeasuredSli, StepSli, open_steps
from services.decision.rows.members import ShardMember
from services.decision.rows.sli_status import SliStanding
from services.decision.rows.translate import TrustInForce
from tests.unit.decision.rows.measured_workloads import (
    ORIGIN_S,
    STEP_S,
    measured_member,
    member,
)

NOW = datetime.fromtimestamp(ORIGIN_S + STEP_S, UTC)
LATE_S = 600.0
CONFIG = RiskControlConfig()
GOOD = StepSli(100.0, 0.01, 0.02, 0.0, 0.0, 0.0, 100.0, 100.0, 0.0, 100.0)
BAD = StepSli(50.0, 0.2, 0.4, 1.0, 1.0, 1.0, 50.0, 50.0, 1.0, 50.0)


def believed(ratios: Mapping[float, float | None], before_first: bool = False) -> WorkloadOutcomes:
    """New steps with a violation each, by start."""
    outcomes = {s: StepOutcome(1.0, 1.0, 1, r, 0.0, 1.0, 1.0) for s, r in ratios.items()}
    rows = tuple((1, datetime.fromtimestamp(s, UTC), *(None,) * 8, NOW) for s in ratios)
    return WorkloadOutcomes(rows, outcomes, frozenset(ratios) if before_first else frozenset())


def settled(
    one: ShardMember,
    new: WorkloadOutcomes,
    sli: Mapping[float, StepSli] | None = None,
    open_rows: Mapping[float, Any] | None = None,
    passed_s: float = 0.0,
) -> tuple[SettledStep, ...]:
    """Settled `passed_s` after the end of the origin's step."""
    measured = MeasuredSli(SliStanding("Measured"), sli or {})
    at = Finality(NOW + timedelta(seconds=passed_s), LATE_S)
    return settle(one, new, open_rows or {}, measured, at)


def fed(
    one: ShardMember, *runs: Sequence[SettledStep], state: RiskState | None = None
) -> RiskState:
    state = state or RiskState()
    for steps in runs:
        state = learn({1: one}, {1: steps}, ShardRows(risk={1: state}), CONFIG).get(1, state)
    return state


def test_a_step_without_an_objective_is_final_at_once_and_believed() -> None:
    (step,) = settled(member(), believed({ORIGIN_S: 0.5}), {ORIGIN_S: BAD})
    assert (step.is_final, step.sli) == (True, None)
    assert step.row[-5:] == (None, None, None, None, True)
    state = fed(member(), [step])
    assert (state.spent_steps, state.observed_steps, state.measured_steps) == (0.5, 1.0, 0.0)
    assert state.log_level < 0


def test_a_measured_step_is_open_until_what_is_late_has_come() -> None:
    one = measured_member()
    for passed_s, is_final in ((LATE_S + STEP_S - 1, False), (LATE_S + STEP_S, True)):
        (step,) = settled(one, believed({ORIGIN_S: 0.0}), {ORIGIN_S: BAD}, passed_s=passed_s)
        assert step.is_final == is_final
        assert step.row[-5:] == (50.0, 0.2, 0.4, 1.0, is_final)


def test_a_short_step_is_open_as_long_as_its_minute_may_change() -> None:
    minute_s = ORIGIN_S
    for start_s in (minute_s, minute_s + 45.0):
        for passed_s, is_passed in ((74.0, False), (75.0, True)):
            at = datetime.fromtimestamp(minute_s + passed_s, UTC)
            assert Finality(at, 0.0).is_passed(start_s, 15.0) == is_passed


@given(st.floats(1, 3600), st.floats(0, 7200))
def test_the_steps_looked_at_hold_every_one_that_is_not_final(step_s: float, late_s: float) -> None:
    """Decisions come at each step's end: the oldest step of the grid is final by then."""
    oldest_s = ORIGIN_S - (open_steps(step_s, late_s) - 1) * step_s
    now = datetime.fromtimestamp(ORIGIN_S + step_s + 0.001, UTC)
    assert Finality(now, late_s).is_passed(oldest_s, step_s)


def test_an_open_row_is_measured_again_and_keeps_what_was_believed() -> None:
    row: Any = {"violation_ratio": 0.25}
    (step,) = settled(measured_member(), believed({}), {ORIGIN_S: BAD}, {ORIGIN_S: row})
    assert (step.is_new, step.believed_ratio, step.sli) == (False, 0.25, BAD)
    assert step.row[:2] == (1, datetime.fromtimestamp(ORIGIN_S, UTC))
    assert set(step.row[2:11]) == {None}
    assert len(step.row) == 17


def test_before_the_first_replica_nobody_violates_a_measured_promise_either() -> None:
    (step,) = settled(measured_member(), believed({ORIGIN_S: None}, True), {ORIGIN_S: BAD})
    assert (step.is_final, step.sli) == (True, None)
    assert fed(measured_member(), [step]) == RiskState()


def test_each_ledger_counts_a_step_once_and_the_level_hears_what_was_measured() -> None:
    one, row = measured_member(), {"violation_ratio": 0.0}
    new = settled(one, believed({ORIGIN_S: 0.0}), {ORIGIN_S: GOOD})
    state = fed(one, new)
    assert (state.observed_steps, state.measured_steps, state.log_level) == (1.0, 0.0, 0.0)
    revised: Any = {ORIGIN_S: row}
    still = settled(one, believed({}), {ORIGIN_S: BAD}, revised, passed_s=STEP_S)
    assert fed(one, still, state=state) == state, "not final: nothing is counted"
    last = settled(one, believed({}), {ORIGIN_S: BAD}, revised, passed_s=LATE_S + STEP_S)
    state = fed(one, last, state=state)
    assert (state.spent_steps, state.observed_steps) == (0.0, 1.0)
    assert (state.measured_missed, state.measured_total, state.measured_steps) == (1.0, 1.0, 1.0)
    assert state.log_level < 0, "by the 0 believed it would have risen"


def test_of_a_promise_of_requests_the_ledger_counts_requests() -> None:
    one = measured_member(kind="DemandFraction")
    shares = {ORIGIN_S - STEP_S: replace(GOOD, violation_ratio=0.02)}
    shares[ORIGIN_S] = StepSli(*(0.0,) * 10)
    steps = settled(one, believed(dict.fromkeys(shares)), shares, passed_s=9999.0)
    assert all(step.is_final for step in steps)
    state = fed(one, steps)
    assert state.measured_missed == pytest.approx(2.0)
    assert (state.measured_total, state.measured_steps) == (100.0, 2.0)
    assert fed(one, steps[:1]).log_level == state.log_level, "no request teaches nothing"


@pytest.mark.parametrize("kind", ["DemandFraction", "TimeFraction"])
def test_of_a_promise_of_requests_a_busy_step_teaches_more_than_a_quiet_one(kind: str) -> None:
    """Of 100 requests in a usual step, 300 say as much as three such steps; time has no such."""
    one = measured_member(kind=kind)
    known = RiskState(measured_missed=0.0, measured_total=1e6, measured_steps=1e4)
    calm = dict.fromkeys(("violation_ratio", "curable_ratio"), 0.0)
    moved = {}
    for requests in (100.0, 300.0):
        sli = replace(GOOD, high_requests=requests, **calm)
        steps = settled(one, believed({ORIGIN_S: None}), {ORIGIN_S: sli}, passed_s=9999.0)
        moved[requests] = fed(one, steps, state=known).log_level
    ratio = 3.0 if kind == "DemandFraction" else 1.0
    assert moved[300.0] == pytest.approx(ratio * moved[100.0], rel=1e-3)
    assert moved[100.0] > 0.0


def test_where_nothing_was_measured_the_level_hears_what_was_believed() -> None:
    one = measured_member()
    (step,) = settled(one, believed({ORIGIN_S: 1.0}), passed_s=9999.0)
    state = fed(one, [step])
    assert (state.measured_steps, state.spent_steps) == (0.0, 1.0)
    assert state.log_level < 0
    unknown = settled(one, believed({ORIGIN_S: None}), passed_s=9999.0)
    assert fed(one, unknown) == RiskState()


def test_a_trailing_percentiles_violation_is_not_the_models() -> None:
    """It spends the budget; neither the model's level nor the others' hears of it."""
    members = {key: replace(member(), id=key) for key in (1, 2)}
    bad, good = (settled(member(), believed({ORIGIN_S: ratio})) for ratio in (1.0, 0.0))
    start = RiskState(log_level=0.4)
    rows = ShardRows(risk={1: start, 2: start}, trust={1: TrustInForce(is_trusted=False)})
    found = learn(members, {1: bad, 2: good}, rows, CONFIG)
    assert (found[1].log_level, found[1].spent_steps) == (0.4, 1.0)
    alone = learn({2: members[2]}, {2: good}, rows, CONFIG)
    assert found[2] == alone[2]
    assert found[2].log_level > 0.4


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=12))
def test_it_does_not_matter_in_how_many_runs_steps_are_settled(
    violations: list[tuple[float, bool]],
) -> None:
    one = measured_member()
    starts = [ORIGIN_S + STEP_S * n for n in range(len(violations))]
    ratios = {s: v for s, (v, _) in zip(starts, violations, strict=True)}
    sli = {s: BAD if bad else GOOD for s, (_, bad) in zip(starts, violations, strict=True)}
    at_once = settled(one, believed(ratios), sli, passed_s=1e6)
    each = [settled(one, believed({s: ratios[s]}), sli, passed_s=1e6) for s in starts]
    assert fed(one, at_once) == fed(one, *each)


def test_errors_count_against_the_promise_but_teach_nothing() -> None:
    one = measured_member()
    errors = StepSli(100.0, 0.2, 0.2, 1.0, 0.0, 1.0, 100.0, 100.0, 1.0, 100.0)
    steps = [
        step
        for sli in (errors, BAD)
        for step in settled(one, believed({ORIGIN_S: 0.0}), {ORIGIN_S: sli}, passed_s=2 * LATE_S)
    ]
    states = [fed(one, [step]) for step in steps]
    assert [state.measured_missed for state in states] == [1.0, 1.0]
    assert states[0].log_level >= 0 > states[1].log_level


def test_a_fault_counts_but_teaches_the_level_nothing() -> None:
    one = measured_member()
    steps = settled(one, believed({ORIGIN_S: 0.0}), {ORIGIN_S: BAD}, passed_s=2 * LATE_S)
    before = RiskState()
    sound = learn({1: one}, {1: steps}, ShardRows(risk={1: before}), CONFIG)[1]
    faulty = learn({1: one}, {1: steps}, ShardRows(risk={1: before}, faulty=frozenset({1})), CONFIG)
    assert sound.log_level < before.log_level
    assert faulty[1].log_level == before.log_level
    assert faulty[1].measured_missed == sound.measured_missed > 0


def test_a_step_whose_requests_were_not_measured_teaches_nothing_where_they_are() -> None:
    """What is believed of it takes all of its requests for missed beyond the edge."""
    one = measured_member(kind="DemandFraction")
    taught = fed(one, settled(one, believed({0.0: 0.0}), {0.0: GOOD}, passed_s=1e6))
    silent = [SettledStep(STEP_S, 1.0, None, True, True, ())]
    after = fed(one, silent, state=taught)
    assert after.log_level == taught.log_level
    assert after.spent_steps > taught.spent_steps
    assert fed(one, silent).log_level < RiskState().log_level, "never measured: belief teaches"
