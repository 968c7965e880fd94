"""The advisory report from rows on a real Postgres; every figure is reckoned by hand beside it."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import Connection, Engine, text

from services.advisory import service
from services.advisory.counterfactual import CarriedOut, Replay, StoredSteps
from services.advisory.report import AdvisoryReport, ServiceReport
from services.advisory.service import AdvisoryQuery, load_report
from services.kernel.errors import NotFound
from services.operator.plan.plan import decide_action
from tests.integration.advisory.watched import (
    N_STEPS,
    SINCE,
    START,
    STEP_USD,
    add_decided,
    add_ran,
    add_starts,
    add_watched,
)
from tests.integration.decision.pool_rows import add_service
from tests.integration.decision.stored_rows import NOW, STEP
from tests.unit.operator import examples

pytestmark = pytest.mark.integration

HALF = N_STEPS // 2
STEP_H = 1 / 12
NEEDED = [2] * HALF + [5] * HALF
DECIDED = [2] * HALF + [5] * HALF


def advise(database: Engine, **asked: str) -> AdvisoryReport:
    with database.connect() as connection:
        return load_report(connection, AdvisoryQuery(SINCE, **asked), NOW)


def only(found: AdvisoryReport) -> ServiceReport:
    (one,) = found.services
    return one


def add_chat(database: Engine, name: str = "chat") -> int:
    """Four replicas run throughout; two are needed for an hour, then five."""
    workload = add_watched(database, name)
    add_ran(database, workload, 4, NEEDED)
    add_decided(database, workload, DECIDED)
    add_starts(database, workload, lead_s=150.0)
    return workload


def test_cost_and_violations_of_both_are_those_reckoned_by_hand(database: Engine) -> None:
    add_chat(database)
    found = advise(database)
    one = only(found)
    assert (found.from_at, found.to_at) == (START, NOW)
    assert (one.workload, one.scaled_by) == ("demo/chat", "nobody: fixed at 4")
    assert one.starts == "20 measured start-up times"
    # 24 steps of 4 replicas
    assert one.today.cost_usd == pytest.approx(24 * 4 * STEP_USD)
    assert one.today.believed_ratio == pytest.approx(0.5)
    assert one.today == one.compared
    comparison = one.comparison
    assert comparison is not None
    assert comparison.hours == pytest.approx(2.0)
    # 12 steps of 2 and 12 of 5; three replicas more start in half a step
    assert comparison.harmony_usd.value == pytest.approx((12 * 2 + 12 * 5) * STEP_USD)
    assert comparison.harmony_ratio.value == pytest.approx(0.5 / 24)
    assert comparison.cost_change.value == pytest.approx(42.0 / 48.0 - 1.0)
    assert comparison.ratio_change.value == pytest.approx(0.5 / 24 - 0.5)
    assert comparison.cost_change.low is not None
    assert comparison.cost_change.low < -0.125 < (comparison.cost_change.high or 0.0)
    assert "Harmony would have broken its promise of 1.00%: 2.08%, believed" in one.verdict


def test_time_without_decisions_is_unknown_and_never_zero(database: Engine) -> None:
    workload = add_watched(database, "chat")
    add_ran(database, workload, 4, NEEDED)
    # steps 5 to 10 have no decision of their own; that of step 4 stands for 5 and 6
    add_decided(database, workload, [2] * 5 + [None] * 6 + [2] + [5] * HALF)  # type: ignore[arg-type]
    one = only(advise(database))
    assert one.undecided_hours == pytest.approx(4 * STEP_H)
    assert one.today.cost_usd == pytest.approx(24 * 4 * STEP_USD)
    assert one.compared.cost_usd == pytest.approx(20 * 4 * STEP_USD)
    assert one.comparison is not None
    assert one.comparison.hours == pytest.approx(20 * STEP_H)
    assert one.comparison.harmony_usd.value == pytest.approx((8 * 2 + 12 * 5) * STEP_USD)


def test_a_step_without_an_outcome_is_unknown(database: Engine) -> None:
    workload = add_chat(database)
    with database.begin() as connection:
        connection.execute(
            text("DELETE FROM outcomes WHERE workload_id = :id AND step_at < :at"),
            {"id": workload, "at": START + 3 * STEP},
        )
        connection.execute(
            text(
                "UPDATE outcomes SET cost_usd = NULL, needed_replicas = NULL, "
                "violation_ratio = NULL WHERE step_at = :at"
            ),
            {"at": START + 3 * STEP},
        )
    one = only(advise(database))
    assert one.unpriced_hours == pytest.approx(4 * STEP_H)
    assert one.today.cost_usd == pytest.approx(20 * 4 * STEP_USD)
    assert one.comparison is not None
    assert one.comparison.harmony_usd.value == pytest.approx((8 * 2 + 12 * 5) * STEP_USD)
    assert one.today.believed_ratio == pytest.approx(12 / 20)


def test_a_service_without_decisions_has_a_cost_and_no_comparison(database: Engine) -> None:
    add_ran(database, add_watched(database, "silent"), 4, NEEDED)
    found = advise(database)
    one = only(found)
    assert one.comparison is None
    assert one.today.cost_usd == pytest.approx(48.0)
    assert one.undecided_hours == pytest.approx(2.0)
    assert one.verdict == (
        "What Harmony would have cost is not known: Harmony decided nothing for it in this time."
    )
    assert found.fleet is None
    assert found.days == ()


def test_what_was_measured_stands_beside_what_is_believed(database: Engine) -> None:
    workload = add_watched(database, "felt")
    is_final = [True] * (N_STEPS - 1) + [False]
    violation = [0.5] * HALF + [0.0] * (HALF - 1) + [1.0]
    requests = [100.0] * N_STEPS
    add_ran(
        database,
        workload,
        4,
        NEEDED,
        measured_violation_ratio=violation,
        sli_requests=requests,
        is_final=is_final,
    )
    add_decided(database, workload, DECIDED)
    one = only(advise(database))
    assert one.today.measured_ratio == pytest.approx(6.0 / 23.0)
    assert one.today.believed_ratio == pytest.approx(0.5)
    assert (one.today.ratio, one.today.source) == (one.today.measured_ratio, "measured")


def test_what_harmony_scales_is_left_out_and_what_an_hpa_scales_is_not(database: Engine) -> None:
    for name, result, reason in (
        ("ours", "applied", "scale_up_risk"),
        ("theirs", "conflict", "HorizontalPodAutoscaler/web scales the same target"),
    ):
        workload = add_watched(database, name, mode="Auto")
        add_ran(database, workload, 4, NEEDED)
        add_decided(database, workload, DECIDED, result=result, reason=reason)
    found = advise(database)
    assert found.left_out == (("demo/ours", "Harmony scales it"),)
    assert (only(found).workload, only(found).scaled_by) == (
        "demo/theirs",
        "HorizontalPodAutoscaler/web",
    )


def test_time_that_harmony_scaled_before_it_was_advisory_is_not_compared(
    database: Engine,
) -> None:
    workload = add_chat(database)
    with database.begin() as connection:
        connection.execute(
            text("UPDATE actions SET result = 'unchanged' WHERE origin_at < :at"),
            {"at": START + 5 * STEP},
        )
    one = only(advise(database))
    assert workload
    assert one.own_hours == pytest.approx(6 * STEP_H)
    assert one.today.cost_usd == pytest.approx(18 * 4 * STEP_USD)
    assert one.comparison is not None
    assert one.comparison.harmony_usd.value == pytest.approx((6 * 2 + 12 * 5) * STEP_USD)


@pytest.mark.parametrize("mode", ["Advisory", "Approval", "Auto"])
def test_what_follows_harmony_is_not_compared_with_it(database: Engine, mode: str) -> None:
    """The action is the operator's own, beside a ScaledObject that asks for Harmony's count."""
    approved = {"scaling.harmony.dev/approved-decision": "1"}
    beside = replace(examples.situation(4, approved, mode=mode), follower="ScaledObject/chat")
    action = decide_action(examples.decision(1, desired=5), beside, examples.NOW)
    workload = add_watched(database, "chat", mode=mode)
    add_ran(database, workload, 4, NEEDED)
    add_decided(database, workload, DECIDED, result=action.result.value, reason=action.reason)
    found = advise(database)
    assert found.services == ()
    assert found.left_out == (("demo/chat", "Harmony scales it"),)


def test_time_before_harmony_was_followed_no_longer_is_compared(database: Engine) -> None:
    """A follower that was taken away again: only its time is Harmony's."""
    add_chat(database)
    with database.begin() as connection:
        connection.execute(
            text("UPDATE actions SET result = 'delegated' WHERE origin_at < :at"),
            {"at": START + 5 * STEP},
        )
    one = only(advise(database))
    assert one.own_hours == pytest.approx(6 * STEP_H)
    assert one.today.cost_usd == pytest.approx(18 * 4 * STEP_USD)


def test_pools_and_untold_replicas_are_said(database: Engine) -> None:
    add_service(database, mode="Advisory")
    add_decided(database, add_watched(database, "remote", target="External/remote"), DECIDED)
    reasons = {one.workload: one.reason for one in advise(database).services}
    assert reasons == {
        "demo/llama": "it has pools or variants, and one count is replayed",
        "demo/remote": "nobody told of its replicas",
    }
    remote = only(advise(database, name="remote"))
    assert (remote.today.cost_usd, remote.scaled_by) == (None, "not known")


def test_counts_that_guards_changed_are_counted(database: Engine) -> None:
    workload = add_watched(database, "held")
    add_ran(database, workload, 4, NEEDED)
    add_decided(database, workload, DECIDED, raw=[1] * 6 + DECIDED[6:])
    assert only(advise(database)).guarded_hours == pytest.approx(0.5)


def test_the_newest_of_two_decisions_at_one_origin_counts(database: Engine) -> None:
    add_chat(database)
    columns = (
        "origin_at, workload_id, forecast_id, decided_at, valid_until, current_replicas, "
        "raw_replicas, direction, reason, rung, risk_target, cost_delta_usd_per_h, explanation"
    )
    with database.begin() as connection:
        connection.execute(
            text(
                f"INSERT INTO decisions (id, policy_version, desired_replicas, {columns}) "
                f"SELECT id + 500, 'harmony-2', 4, {columns} FROM decisions"
            )
        )
    comparison = only(advise(database)).comparison
    assert comparison is not None
    assert comparison.cost_change.value == pytest.approx(0.0)
    assert comparison.ratio_change.value == pytest.approx(0.0)


def test_the_fleet_and_its_days_are_sums_of_the_services(database: Engine) -> None:
    add_chat(database, "a")
    add_chat(database, "b")
    found = advise(database)
    assert found.fleet is not None
    assert found.fleet.today_usd == pytest.approx(96.0)
    assert found.fleet.harmony_usd.value == pytest.approx(84.0)
    assert found.fleet.hours == pytest.approx(4.0)
    (day,) = found.days
    assert f"{day.at:%Y-%m-%d}" == "2026-01-06"
    assert day.comparison.harmony_usd.value == pytest.approx(84.0)
    assert advise(database) == found


def test_a_spec_that_was_spoilt_harms_no_other(database: Engine) -> None:
    add_chat(database)
    add_watched(database, "spoilt")
    with database.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET spec = spec - 'target' WHERE name = 'spoilt'")
        )
    found = advise(database)
    assert [one.workload for one in found.services] == ["demo/chat"]
    assert found.left_out == (("demo/spoilt", "its spec cannot be read: Field required"),)


def test_a_service_that_left_in_this_time_is_named(database: Engine) -> None:
    """What it cost is in the showback, so a page without it must say why both differ."""
    add_chat(database)
    add_chat(database, "moved")
    add_chat(database, "long-gone")
    with database.begin() as connection:
        for name, at in (("moved", START + 3 * STEP), ("long-gone", START)):
            connection.execute(
                text("UPDATE workloads SET is_active = false, updated_at = :at WHERE name = :name"),
                {"at": at, "name": name},
            )
    found = advise(database)
    assert [one.workload for one in found.services] == ["demo/chat"]
    assert found.left_out == (("demo/moved", "it left at 2026-01-06 10:20 UTC"),)
    assert advise(database, name="moved").left_out == found.left_out
    with pytest.raises(NotFound, match="name=long-gone"):
        advise(database, name="long-gone")


def test_an_unknown_workload_is_named_and_an_empty_fleet_is_empty(database: Engine) -> None:
    assert advise(database).services == ()
    with pytest.raises(NotFound, match="namespace=any, name=gone"):
        advise(database, name="gone")


def test_a_fleet_is_replayed_some_workloads_at_a_time(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what was replayed no steps are kept: they would be gigabytes of a fleet."""
    for name in ("chat", "code", "draw", "echo"):
        add_chat(database, name)
    add_ran(database, add_watched(database, "silent"), 4, NEEDED)
    together = advise(database)
    counted: list[tuple[int, int]] = []
    carry_out = service.carry_out

    def counting(replays: Sequence[Replay]) -> list[CarriedOut]:
        gc.collect()
        n_kept = sum(type(one) is StoredSteps for one in gc.get_objects())
        counted.append((len(replays), n_kept))
        return carry_out(replays)

    monkeypatch.setattr(service, "carry_out", counting)
    monkeypatch.setattr(service, "_STEPS_AT_ONCE", 2 * N_STEPS)
    assert advise(database) == together
    assert counted == [(2, 2), (2, 2)]


def add_resized(database: Engine) -> None:
    """Four replicas run throughout, as Harmony decided; of four GPUs each for an hour, then two."""
    workload = add_watched(database, "chat")
    add_ran(database, workload, 4, [4] * N_STEPS)
    add_decided(database, workload, [4] * N_STEPS)
    add_starts(database, workload, lead_s=150.0)
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE outcomes SET gpu_hours = 2 * gpu_hours, cost_usd = 2 * cost_usd "
                "WHERE step_at < :at"
            ),
            {"at": START + HALF * STEP},
        )
        spec_was_changed(connection, START + HALF * STEP)


def spec_was_changed(connection: Connection, at: datetime) -> None:
    connection.execute(text("UPDATE workloads SET updated_at = :at"), {"at": at})


def test_a_decision_costs_the_gpus_that_a_replica_had_then(database: Engine) -> None:
    add_resized(database)
    one = only(advise(database))
    assert one.comparison is not None
    assert one.comparison.hours == pytest.approx(2.0)
    assert one.comparison.harmony_usd.value == pytest.approx((12 * 8 + 12 * 4) * STEP_USD)
    assert one.comparison.cost_change.value == pytest.approx(0.0)
    assert one.unsized_hours == 0.0


def test_time_of_unknown_gpus_is_left_out_of_both_sides(database: Engine) -> None:
    """As many were starting as were ready, so the GPU-hours tell twice as many GPUs of each."""
    add_resized(database)
    with database.begin() as connection:
        connection.execute(
            text("UPDATE replica_states SET starting_replicas = 4 WHERE observed_at < :at"),
            {"at": START + 3 * STEP},
        )
    one = only(advise(database))
    assert one.comparison is not None
    assert one.unsized_hours == pytest.approx(3 * STEP_H)
    assert one.comparison.hours == pytest.approx(21 * STEP_H)
    assert one.compared.cost_usd == pytest.approx((9 * 8 + 12 * 4) * STEP_USD)
    assert one.comparison.harmony_usd.value == pytest.approx(one.compared.cost_usd)
    assert one.today.cost_usd == pytest.approx((12 * 8 + 12 * 4) * STEP_USD)
    with database.begin() as connection:
        connection.execute(text("DELETE FROM decisions WHERE origin_at >= :at"), {"at": START})
    one = only(advise(database))
    assert one.comparison is None
    assert "how many GPUs a replica had before is not known" in one.verdict


def test_of_a_spec_that_did_not_change_since_no_step_need_tell_it(database: Engine) -> None:
    workload = add_watched(database, "asleep")
    add_ran(database, workload, 0, NEEDED)
    add_decided(database, workload, DECIDED, ran=0)
    with database.begin() as connection:
        spec_was_changed(connection, START)
    one = only(advise(database))
    assert one.comparison is not None
    assert one.comparison.hours == pytest.approx(2.0)
    assert one.comparison.harmony_usd.value == pytest.approx((12 * 2 + 12 * 5) * STEP_USD)
