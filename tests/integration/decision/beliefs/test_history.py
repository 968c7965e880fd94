"""A service's response is there before its first decision, where its history tells it."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from sqlalchemy import text

from decider import GroupLaw, MissUpdate
from services.decision.beliefs import misses
from services.decision.beliefs.groups import MeasuredGroup
from services.decision.beliefs.history import learn_history
from services.decision.beliefs.miss_data import MISSES, MissSteps
from services.decision.rows.members import ShardMember
from services.decision.wiring import DecisionDeps
from services.kernel.db.session import unit_of_work
from tests.integration.decision.group_rows import add_group_law
from tests.integration.decision.learned_capacity import posteriors
from tests.integration.decision.measured_loop import truth
from tests.integration.decision.measured_rows import OBJECTIVE, add_counts
from tests.integration.decision.measured_steps import add_measured_steps
from tests.integration.decision.stored_rows import ORIGIN, STEP, add_demand, add_workload
from tests.integration.decision.views import members_of

pytestmark = pytest.mark.integration
SLA = {"kind": "TimeFraction", "epsilon": 0.05, "objective": OBJECTIVE}
READY = 4.0


def add_history(
    deps: DecisionDeps, workload: int, knee: float, n: int, last: datetime = ORIGIN
) -> None:
    """Counts, demand and ready replicas of `n` steps; 5 % miss at the load `knee` a replica."""
    rng = np.random.default_rng(workload)
    load = rng.uniform(0.6, 1.1, n) * knee
    share = truth(knee).miss(load)[0]
    total = np.round(READY * load * 60.0)
    missed = rng.binomial(total.astype(int), rng.beta(200.0 * share, 200.0 * (1.0 - share)))
    add_counts(
        deps.engine,
        workload,
        last,
        ttft_total=total.tolist(),
        ttft_good=(total - missed).tolist(),
    )
    add_demand(deps.engine, workload, [READY] * n, last=last, indicator="sli_ready")
    add_demand(deps.engine, workload, (READY * load).tolist(), last=last)


def learned_load(deps: DecisionDeps, workload: int) -> float:
    """Load a replica at which 5 % miss, as the first decision believes."""
    with unit_of_work(deps.engine, deps.sender) as work:
        members = members_of(work.connection)
        found = misses.believed_responses(work, deps.settings, members, ORIGIN + STEP)
    return float(np.median(found[workload].draws.load_within(0.05)))


def test_the_first_decision_knows_what_the_history_told(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w", sla=SLA)
    silent = add_workload(deps.engine, "silent", sla=SLA)
    add_counts(deps.engine, silent, ttft_total=[600.0] * 50, ttft_good=[600.0] * 50)
    add_history(deps, workload, 7.0, 120)
    assert learn_history(deps, 0) == 1
    (row,) = posteriors(deps.engine, kind=MISSES)
    assert (row["scope"], row["n_observations"]) == (f"workload:{workload}", 120)
    assert row["summary"]["method"] == "particles"
    assert row["summary"]["data_until_s"] == ORIGIN.timestamp()
    assert learned_load(deps, workload) == pytest.approx(7.0, rel=0.05)
    assert learn_history(deps, 0) == 0, "nothing more is told"


def test_more_of_the_history_is_learned_and_what_a_fit_has_learned_stays(
    deps: DecisionDeps,
) -> None:
    workload = add_workload(deps.engine, "w", sla=SLA)
    add_history(deps, workload, 7.0, 40)
    assert learn_history(deps, 0) == 1
    add_history(deps, workload, 7.0, 90)
    assert learn_history(deps, 0) == 1
    (row,) = posteriors(deps.engine, kind=MISSES)
    assert row["n_observations"] == 90
    with deps.engine.begin() as connection:
        connection.execute(
            text('UPDATE posteriors SET summary = summary || \'{"method": "pymc"}\'')
        )
    add_history(deps, workload, 7.0, 150)
    assert learn_history(deps, 0) == 0


def test_steps_that_were_decided_on_count_beside_the_history(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w", sla=SLA)
    add_history(deps, workload, 7.0, 50, last=ORIGIN - 20 * STEP)
    add_measured_steps(deps.engine, workload, 7.0, np.full(10, 6.0), last=ORIGIN - STEP)
    assert learn_history(deps, 0) == 1
    (row,) = posteriors(deps.engine, kind=MISSES)
    assert row["n_observations"] == 60


def test_steps_that_were_watched_teach_though_nobody_else_saw_who_was_ready(
    deps: DecisionDeps,
) -> None:
    workload = add_workload(deps.engine, "w", sla=SLA)
    add_measured_steps(deps.engine, workload, 7.0, np.full(40, 6.0), last=ORIGIN - STEP)
    assert learn_history(deps, 0) == 1
    (row,) = posteriors(deps.engine, kind=MISSES)
    assert row["n_observations"] == 40


def test_a_history_that_says_little_is_held_against_the_group(deps: DecisionDeps) -> None:
    """Steps at a quarter of the knee: of the knee they say hardly more than that it is higher."""
    workload = add_workload(deps.engine, "w", sla=SLA)
    add_measured_steps(deps.engine, workload, 7.0, np.full(40, 1.75), last=ORIGIN - STEP)
    with deps.engine.connect() as connection:
        member = members_of(connection)[workload]
    stated = member.spec.capacity.per_replica
    law = GroupLaw(np.array([np.log(7.0 / stated), np.log(12.0)]), np.diag([0.08**2, 0.3**2]))
    add_group_law(deps.engine, member, law)
    assert learn_history(deps, 0) == 1
    assert learned_load(deps, workload) == pytest.approx(7.0, rel=0.1)
    assert 0.8 * stated > 7.0


def test_one_workloads_impossible_history_harms_no_other(
    deps: DecisionDeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [add_workload(deps.engine, name, sla=SLA) for name in ("a", "b")]
    for workload in ids:
        add_history(deps, workload, 7.0, 30)
    learn = misses.learned_alone

    def refusing(member: ShardMember, steps: MissSteps, group: MeasuredGroup | None) -> MissUpdate:
        if member.id == ids[0]:
            raise ValueError("no load keeps the promise")
        return learn(member, steps, group)

    monkeypatch.setattr("services.decision.beliefs.history.learned_alone", refusing)
    assert learn_history(deps, 0) == 1
    (row,) = posteriors(deps.engine, kind=MISSES)
    assert row["scope"] == f"workload:{ids[1]}"


def test_a_history_on_other_gpus_is_not_learned(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w", sla=SLA, gpu_type="L4")
    add_history(deps, workload, 7.0, 120)
    moved_at = ORIGIN - 40 * STEP
    with deps.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET updated_at = :at, "
                "spec = jsonb_set(spec, '{gpu_type}', '\"H100\"')"
            ),
            {"at": moved_at},
        )
    assert learn_history(deps, 0) == 1
    (row,) = posteriors(deps.engine, kind=MISSES)
    assert row["n_observations"] == 40
