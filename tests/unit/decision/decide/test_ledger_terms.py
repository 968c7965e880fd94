"""Ledgers of a promise that is counted in other steps, or by other goals, than before."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from decider import RiskState, error_budget
from services.decision.decide.ledger_terms import in_terms_of, terms_of
from services.decision.rows import translate
from services.decision.rows.members import ShardMember
from tests.unit.decision.rows.measured_workloads import STEP_S, measured_member, member

KINDS = ("TimeFraction", "DemandFraction")
SLOW = {"metric": "ttft", "threshold_s": 2.0}
N_WINDOW = 28 * 86_400 / STEP_S


def full(one: ShardMember, missed: float = 0.02) -> dict[str, Any]:
    """A window of steps, of which a share was missed, as it is stored."""
    is_of_requests = translate.measured_unit(one.spec) == "requests"
    total = N_WINDOW * (50.0 if is_of_requests else 1.0)
    ends = {
        f"{end}_{name}": value
        for end in ("low", "measured", "high")
        for name, value in {"missed": missed * total, "total": total, "steps": N_WINDOW}.items()
    }
    believed = {"spent_steps": missed * N_WINDOW, "observed_steps": N_WINDOW}
    unit = {"measured_unit": translate.measured_unit(one.spec), "log_level": 0.3}
    return believed | ends | unit | terms_of(one, None)


def read(state: Any, one: ShardMember) -> RiskState:
    unit = translate.measured_unit(one.spec)
    return translate.to_risk_state(in_terms_of(state, one), unit)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step_s", [60, 900])
def test_the_same_time_in_other_steps_leaves_as_much_of_the_budget(kind: str, step_s: int) -> None:
    before = measured_member(kind=kind)
    after = replace(before, step_s=step_s)
    state = full(before)
    sla = translate.to_sla(before.spec)
    was, now = (error_budget(read(state, one), sla, float(one.step_s)) for one in (before, after))
    assert was.left_ratio == pytest.approx(1 - 0.02 / 0.05)
    assert now.left_ratio == pytest.approx(was.left_ratio)
    assert (now.measured_ratio, now.believed_ratio) == pytest.approx((0.02, 0.02))
    assert now.n_steps == pytest.approx(was.n_steps * STEP_S / step_s)
    unit = translate.measured_unit(after.spec)
    ends = translate.to_end_ledgers(in_terms_of(state, after), unit)
    assert ends.low.measured_steps == pytest.approx(read(state, after).measured_steps)
    assert ends.high.measured_missed == pytest.approx(read(state, after).measured_missed)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_measured_by_other_goals_is_not_counted(kind: str) -> None:
    state = full(measured_member(kind=kind))
    other = measured_member(SLOW, kind=kind)
    left = read(state, other)
    assert (left.measured_steps, left.measured_missed, left.measured_total) == (0.0, 0.0, 0.0)
    assert (left.spent_steps, left.log_level) == (state["spent_steps"], 0.3)
    assert translate.to_end_ledgers(in_terms_of(state, other), state["measured_unit"]) == (
        translate.EndLedgers()
    )
    assert read(state, measured_member(kind=kind)) == translate.to_risk_state(state)


def test_an_objective_that_is_away_for_a_while_is_the_same_when_it_is_back() -> None:
    own = measured_member()
    state = full(own)
    without = in_terms_of(state, member())
    stored = without | terms_of(member(), without["measured_for"])
    assert read(stored, own) == translate.to_risk_state(state)
    assert read(stored, measured_member(SLOW)).measured_steps == 0.0


def test_a_promise_of_another_share_of_requests_keeps_its_ledger() -> None:
    one = measured_member(kind="DemandFraction")
    sla = one.spec.sla.model_copy(update={"epsilon": 0.01, "window_s": 7 * 86_400})
    stricter = replace(one, spec=one.spec.model_copy(update={"sla": sla}))
    assert read(full(one), stricter) == translate.to_risk_state(full(one))


def test_ledgers_of_earlier_releases_are_in_the_terms_of_now() -> None:
    one = measured_member()
    old = {
        name: v
        for name, v in full(one).items()
        if name not in ("step_s", "measured_for", "promised_of_steps")
    }
    assert read(old, one) == translate.to_risk_state(old)


@pytest.mark.parametrize(
    ("epsilon", "change"), [(0.05, 0.0), (0.01, math.log(5)), (0.5, -math.log(10))]
)
def test_the_price_of_risk_is_that_of_the_promise(epsilon: float, change: float) -> None:
    one = measured_member(kind="DemandFraction")
    sla = one.spec.sla.model_copy(update={"epsilon": epsilon})
    other = replace(one, spec=one.spec.model_copy(update={"sla": sla}))
    found = read(full(one) | {"log_multiplier": 4.0}, other).log_multiplier
    assert found == pytest.approx(4.0 + change)
    assert read(full(one), other).log_multiplier is None, "none was found yet"
    old = {"log_multiplier": 4.0}
    assert read(old, other).log_multiplier == 4.0, "an earlier release did not say of which promise"
