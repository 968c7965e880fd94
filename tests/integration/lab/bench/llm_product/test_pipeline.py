"""The platform's jobs in one process: a push is carried through to its decision."""

from __future__ import annotations

from datetime import timedelta

import orjson

from services.kernel import jobs
from services.kernel.clock import FixedClock
from services.kernel.settings import Settings
from services.lab.arena.goals import RequestGoals
from services.lab.bench.llm_product.pipeline import JobLine, Pipeline
from services.lab.bench.llm_product.policy import START_AT, run_settings
from services.lab.bench.llm_product.setup import NAME, NAMESPACE, REQUESTS, HarmonySetup

SETUP = HarmonySetup(RequestGoals(1000.0, 50.0), 0.99, 60.0, {REQUESTS: 2.0}, "H200", 1, 8)


def body(indicator: str, at_s: float) -> bytes:
    entry = {"namespace": NAMESPACE, "workload": NAME, "indicator": indicator}
    return orjson.dumps({"observations": [{**entry, "samples": [[at_s, 1.0]]}]})


def test_jobs_wait_in_the_order_that_they_were_sent() -> None:
    line = JobLine()
    for name in (jobs.FORECAST_SHARD, jobs.DECIDE_SHARD):
        line.send(jobs.Job(name))
    assert [job.name for job in line.waiting] == [jobs.FORECAST_SHARD, jobs.DECIDE_SHARD]


def test_what_is_of_no_workload_is_refused_and_nothing_follows(database_url: str) -> None:
    clock = FixedClock(START_AT + timedelta(seconds=15))
    pipeline = Pipeline(run_settings(SETUP, database_url), clock)
    result = pipeline.push(body(REQUESTS, clock.now().timestamp()))
    assert result.n_accepted == 0
    assert [one.reason for one in result.rejected] == ["unknown_workload"]
    assert list(pipeline.spent.runs) == ["push"]


def test_all_but_the_step_the_reach_and_the_lateness_is_as_installed(database_url: str) -> None:
    found, plain = run_settings(SETUP, database_url), Settings()
    changed = {
        name for name in Settings.model_fields if getattr(found, name) != getattr(plain, name)
    }
    assert changed <= {"database_url", "clock", "seed", "step_s", "horizon_steps", "late_s"}
