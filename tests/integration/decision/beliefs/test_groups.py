"""What a group says of one more workload: taken at a decision, learned with, and told."""

from __future__ import annotations

import numpy as np
import pytest

from decider import GroupLaw
from services.decision.beliefs import miss_report, misses
from services.decision.beliefs.groups import (
    load_groups,
    relative_draws,
    scope_of,
    store_laws,
    summary_of_group,
)
from services.decision.beliefs.miss_data import MISSES
from services.decision.rows.members import ShardMember
from services.decision.rows.responses import LearnedResponse
from services.decision.rows.translate import from_draws
from services.decision.wiring import DecisionDeps
from services.kernel.db.session import unit_of_work
from tests.integration.decision.group_rows import add_group_law
from tests.integration.decision.learned_capacity import posteriors
from tests.integration.decision.measured_loop import OBJECTIVE
from tests.integration.decision.measured_steps import add_measured_steps
from tests.integration.decision.stored_rows import ORIGIN, STEP, add_workload
from tests.integration.decision.views import members_of

pytestmark = pytest.mark.integration
SLA = {"kind": "TimeFraction", "epsilon": 0.05, "objective": OBJECTIVE}
OFF = 0.7
"""What the group's workloads carry over what is stated of them."""
LAW = GroupLaw(np.array([np.log(OFF), np.log(12.0)]), np.diag([0.08**2, 0.3**2]))


def member_of(deps: DecisionDeps, workload: int) -> ShardMember:
    with unit_of_work(deps.engine, deps.sender) as work:
        return members_of(work.connection)[workload]


def believed(deps: DecisionDeps) -> dict[int, LearnedResponse]:
    with unit_of_work(deps.engine, deps.sender) as work:
        return misses.believed_responses(work, deps.settings, members_of(work.connection), ORIGIN)


def within(response: LearnedResponse) -> np.ndarray:
    return response.draws.load_within(0.05)


def test_who_has_no_step_yet_is_decided_by_what_its_group_was_measured_to_carry(
    deps: DecisionDeps,
) -> None:
    new = add_workload(deps.engine, "new", sla=SLA)
    other = add_workload(deps.engine, "other", sla=SLA, gpu_type="L4")
    assert believed(deps) == {}, "nothing is known: the stated capacity decides"
    member = member_of(deps, new)
    add_group_law(deps.engine, member, LAW)
    found = believed(deps)
    assert set(found) == {new}, "a workload of other GPUs is of another group"
    stated = member.spec.capacity.per_replica
    assert np.median(within(found[new])) == pytest.approx(OFF * stated, rel=0.02)
    own = np.log1p(member.spec.capacity.cv**2)
    assert np.log(within(found[new])).std() == pytest.approx(np.sqrt(0.08**2 + own), rel=0.1)
    assert (found[new].is_borrowed, found[new].is_first) == (True, True)
    assert len(posteriors(deps.engine)) == 1, "what is only borrowed is not stored"
    assert member_of(deps, other).spec.gpu_type == "L4"


def test_few_steps_of_its_own_go_before_what_is_borrowed(deps: DecisionDeps) -> None:
    new = add_workload(deps.engine, "new", sla=SLA)
    member = member_of(deps, new)
    stated = member.spec.capacity.per_replica
    add_group_law(deps.engine, member, LAW)
    add_measured_steps(deps.engine, new, 0.9 * stated, np.full(4, 0.8 * stated))
    (few,) = believed(deps).values()
    assert np.median(within(few)) > 0.8 * stated, "it was seen to carry that"
    assert not few.is_borrowed
    stored = {row["scope"] for row in posteriors(deps.engine, kind=MISSES)}
    assert stored == {f"workload:{new}", scope_of(member)}


def test_who_never_comes_near_its_knee_keeps_to_its_group(deps: DecisionDeps) -> None:
    new = add_workload(deps.engine, "new", sla=SLA)
    alone = add_workload(deps.engine, "alone", sla=SLA, gpu_type="L4")
    member = member_of(deps, new)
    stated = member.spec.capacity.per_replica
    add_group_law(deps.engine, member, LAW)
    for workload in (new, alone):
        add_measured_steps(deps.engine, workload, OFF * stated, np.full(20, 0.3 * stated))
    found = believed(deps)
    knees = {key: float(np.median(within(found[key]))) / stated for key in (new, alone)}
    assert knees[new] == pytest.approx(OFF, abs=0.08)
    assert knees[alone] > 0.85, "who has no group keeps to what is stated"


def test_a_law_of_another_group_or_spoilt_by_hand_is_none(deps: DecisionDeps) -> None:
    member = member_of(deps, add_workload(deps.engine, "new", sla=SLA))
    summary = summary_of_group(member, LAW, 5)
    for spoilt in (
        summary | {"group": summary["group"] | {"gpu_type": "L4"}},
        summary | {"covariance": [[1.0, 0.0], [0.0, -1.0]]},
        summary | {"mean": "none"},
        {"method": "group", "group": summary["group"]},
    ):
        add_group_law(deps.engine, member, LAW, summary=spoilt)
        assert believed(deps) == {}


def test_a_rejected_law_leaves_the_one_before_in_force(deps: DecisionDeps) -> None:
    new = add_workload(deps.engine, "new", sla=SLA)
    member = member_of(deps, new)
    add_group_law(deps.engine, member, LAW)
    before = believed(deps)[new]
    add_group_law(deps.engine, member, LAW, status="rejected", reason="divergent", summary={})
    np.testing.assert_array_equal(believed(deps)[new].capacity, before.capacity)


def test_the_report_says_what_is_borrowed_and_of_how_many(deps: DecisionDeps) -> None:
    new = add_workload(deps.engine, "new", sla=SLA, capacity={"per_replica": 200.0})
    member = member_of(deps, new)
    add_group_law(deps.engine, member, LAW)
    with deps.engine.connect() as connection:
        (line,) = miss_report.report_learned(connection, [member], ORIGIN)
    assert line.summary is None
    assert line.note.endswith(
        "until then it is taken to carry 140 (126.4 to 155), by what 5 workloads like it were "
        "measured to carry"
    )


def test_the_law_of_more_of_a_group_stays_within_a_fit(deps: DecisionDeps) -> None:
    """A group of 26 is fitted in two batches, of 24 and of two."""
    member = member_of(deps, add_workload(deps.engine, "new", sla=SLA))
    few = summary_of_group(member, LAW, 2)
    for n, after, kept in ((24, ORIGIN - STEP, 24), (2, ORIGIN - STEP, 24), (2, ORIGIN + STEP, 2)):
        row = {
            "kind": MISSES, "scope": scope_of(member), "status": "promoted", "reason": "",
            "n_observations": 600, "summary": few | {"n_workloads": n}, "diagnostics": {},
            "draws": from_draws(relative_draws(LAW)), "fitted_at": ORIGIN,
        }  # fmt: skip
        with unit_of_work(deps.engine, deps.sender) as work:
            store_laws(work.connection, [row], after)
            (found,) = load_groups(work.connection, [member]).values()
        assert found.n_workloads == kept
