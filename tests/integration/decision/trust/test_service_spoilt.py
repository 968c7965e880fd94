"""The trust gate where a spec cannot be read, and where a demand is measured by another query."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Engine, text

from services.decision.trust.service import judge_shard
from services.kernel.settings import Settings
from tests.integration.decision.judged_past import PER_DAY, START, STEP, Bench, demand_at
from tests.integration.decision.stored_rows import add_demand

pytestmark = pytest.mark.integration
N_DAYS = 11


@pytest.fixture
def bench(database: Engine, settings: Settings) -> Bench:
    return Bench(database, settings)


def set_spec(bench: Bench, workload: int, changed: dict[str, object]) -> None:
    with bench.deps.engine.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET spec = spec || CAST(:changed AS jsonb) WHERE id = :id"),
            {"changed": json.dumps(changed), "id": workload},
        )


def test_a_workload_that_cannot_be_read_keeps_no_other_from_its_look(bench: Bench) -> None:
    spoilt, wasteful = bench.workload("a"), bench.workload("w")
    bench.past(wasteful, (0, N_DAYS), ratio=2.0)
    judge_shard(bench.deps, 0, is_scheduled=False)
    before = bench.verdicts()[spoilt]
    set_spec(bench, spoilt, {"demand": "no_such_indicator"})
    bench.past(wasteful, (N_DAYS, N_DAYS + 1), ratio=2.0, is_shadow=True)

    report = judge_shard(bench.deps, 0, is_scheduled=True)

    assert (report.n_looks, report.left_out) == (1, ("demo/a",))
    found = bench.verdicts()
    assert found[wasteful]["n_looks"] == 2
    assert found[spoilt] == before, "its verdict stays"


@pytest.mark.parametrize("factor", [60.0, 1.0 / 60.0])
@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_the_past_counts_in_the_unit_of_today(bench: Bench, factor: float, ratio: float) -> None:
    """A corrected query is asked for the past, too; what outcomes keep is in the unit of before."""
    changed, same = bench.workload("changed"), bench.workload("same")
    for workload in (changed, same):
        bench.past(workload, (0, N_DAYS), ratio=ratio)
    set_spec(bench, changed, {"capacity": {"per_replica": 10.0 * factor}})
    values = [factor * demand_at(step) for step in range(N_DAYS * PER_DAY)]
    last = START + (N_DAYS * PER_DAY - 1) * STEP
    add_demand(bench.deps.engine, changed, values, last=last, step=STEP)

    judge_shard(bench.deps, 0, is_scheduled=True)

    found = bench.verdicts()
    assert found[changed]["is_trusted"] == (ratio == 1.0)
    assert found[changed]["scores"]["rule"] == found[same]["scores"]["rule"]
    for arm in ("model", "trailing"):
        for name, value in found[same]["scores"][arm].items():
            assert found[changed]["scores"][arm][name] == pytest.approx(value, rel=0.01)


def test_a_step_of_which_the_source_has_nothing_now_keeps_what_was_measured(bench: Bench) -> None:
    some, none = bench.workload("some"), bench.workload("none")
    for workload in (some, none):
        bench.past(workload, (0, N_DAYS), ratio=2.0)
    values = [demand_at(step) if step % 2 else float("nan") for step in range(N_DAYS * PER_DAY)]
    last = START + (N_DAYS * PER_DAY - 1) * STEP
    add_demand(bench.deps.engine, some, values, last=last, step=STEP)

    judge_shard(bench.deps, 0, is_scheduled=True)

    found = bench.verdicts()
    assert found[some]["scores"]["rule"] == found[none]["scores"]["rule"]
    assert found[some]["scores"]["n_blocks"] == found[none]["scores"]["n_blocks"]
