"""A shard's last hour checked on a real Postgres: faults told from overload and from chance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from sqlalchemy import text

from services.decision.decide import miss_check
from services.decision.decide.shard_run import ShardRun
from services.decision.wiring import DecisionDeps
from services.kernel.db.session import unit_of_work
from tests.integration.decision.measured_loop import OBJECTIVE, STEP, Loop, truth
from tests.integration.decision.measured_steps import add_measured_steps
from tests.integration.decision.stored_rows import ORIGIN, add_workload
from tests.integration.decision.views import members_of

pytestmark = pytest.mark.integration
SLA = {"kind": "TimeFraction", "epsilon": 0.05, "objective": OBJECTIVE}
N_HOUR, N_DAY = 60, 300


def checked(deps: DecisionDeps) -> Mapping[int, str | None]:
    with unit_of_work(deps.engine, deps.sender) as work:
        members = members_of(work.connection)
        return miss_check.check_misses(ShardRun(work, deps, members, ORIGIN, ORIGIN + STEP))


def add_history(deps: DecisionDeps, name: str, hour_load: float = 6.0) -> int:
    """A workload with five hours at loads about 6, and an hour at another."""
    workload = add_workload(deps.engine, name, sla=SLA)
    rng = np.random.default_rng(workload)
    day = rng.uniform(5.0, 7.0, N_DAY)
    newest_first = np.append(np.full(N_HOUR, hour_load), day)
    add_measured_steps(deps.engine, workload, 8.0, newest_first)
    return workload


def fail(deps: DecisionDeps, workload: int, share: float) -> None:
    """Of the hour's requests `share` more miss."""
    statement = text(
        "UPDATE outcomes SET sli_miss_high = least(1, sli_miss_high + :share), "
        "sli_miss_low = least(1, sli_miss_low + :share) "
        "WHERE workload_id = :id AND step_at > :at"
    )
    with deps.engine.begin() as connection:
        given = {"share": share, "id": workload, "at": ORIGIN - N_HOUR * STEP}
        connection.execute(statement, given)


def test_a_fault_is_told_and_its_neighbours_are_judged_apart(deps: DecisionDeps) -> None:
    faulty, fine = add_history(deps, "faulty"), add_history(deps, "fine")
    overloaded = add_history(deps, "overloaded", hour_load=8.5)
    silent, plain = add_workload(deps.engine, "silent", sla=SLA), add_workload(deps.engine, "plain")
    fail(deps, faulty, 0.06)
    found = checked(deps)
    message = found[faulty] or ""
    assert message.startswith("more requests miss than this load explains, 6")
    assert "expected in the last hour: look at the release" in message
    assert (found[fine], found[overloaded]) == ("", "")
    assert (found[silent], found[plain]) == (None, None), "an unknown is no all-clear"
    assert checked(deps) == found, "the job may run twice"


def test_a_few_are_judged_in_a_run_those_that_stand_out_most(
    deps: DecisionDeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(miss_check, "MAX_JUDGED", 1)
    mild, grave = add_history(deps, "mild"), add_history(deps, "grave")
    fail(deps, mild, 0.05)
    fail(deps, grave, 0.2)
    found = checked(deps)
    assert found[mild] is None
    assert "20 % against" in (found[grave] or "") or "21 % against" in (found[grave] or "")


def test_of_a_service_of_the_last_hour_no_loads_are_read(
    deps: DecisionDeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    young = add_workload(deps.engine, "young", sla=SLA)
    add_measured_steps(deps.engine, young, 8.0, np.full(N_HOUR - 1, 8.5))

    def refuse(*_given: object) -> None:
        raise AssertionError("there is nothing to compare with")

    monkeypatch.setattr(miss_check, "load_steps", refuse)
    assert checked(deps) == {young: None}


def test_steps_that_no_response_fits_harm_no_other(
    deps: DecisionDeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [add_history(deps, name) for name in ("broken", "faulty")]
    for workload in ids:
        fail(deps, workload, 0.1)
    learn = miss_check.learned_alone

    def breaks_for_the_first(member, steps):
        if member.id == ids[0]:
            raise np.linalg.LinAlgError("no response")
        return learn(member, steps)

    monkeypatch.setattr(miss_check, "learned_alone", breaks_for_the_first)
    found = checked(deps)
    assert found[ids[0]] is None
    assert found[ids[1]]


@pytest.mark.slow
def test_errors_of_a_release_are_stored_and_told(deps: DecisionDeps) -> None:
    loop = Loop(deps, lambda _t: 40.0)
    one = loop.add("w", truth(10.0), capacity={"per_replica": 10.0}, min_replicas=8, sla=SLA)
    one.count, one.lost = 8, lambda t: 0.2 if t >= 75 else 0.0

    def told() -> str | None:
        with deps.engine.connect() as connection:
            state = connection.execute(text("SELECT state FROM risk_states")).scalar_one()
        return state["not_capacity_message"]

    loop.run(75)
    assert told() == ""
    loop.run(15)
    assert "more replicas would not help" in (told() or "")
