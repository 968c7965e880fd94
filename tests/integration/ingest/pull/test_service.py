"""Pulling from a real Prometheus, and from a source that fails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.pull.past_asked import MOST_AT_ONCE
from services.ingest.pull.service import PullResult, pull_shard
from services.ingest.series.prometheus import PrometheusSource
from services.ingest.series.source import SourceError
from services.kernel import jobs, telemetry
from services.kernel.clock import FixedClock
from services.kernel.domain import GoalSpec, IndicatorSpec, ObjectiveSpec, SliSeriesSpec
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.contract.ingest.prometheus_world import T0, FakeSource, prometheus_server
from tests.exported import exported
from tests.integration.ingest.conftest import Register, stored_steps

pytestmark = pytest.mark.integration
STEP = timedelta(seconds=60)
INSTANT = IndicatorSpec(name="load_rps", level=1, query="sum(load)")
WINDOW = IndicatorSpec(name="load_mean_rps", level=1, query="sum(avg_over_time(load[$step]))")
RATE = IndicatorSpec(name="tokens_per_s", level=1, query="sum(rate(tokens_total[$step]))")
COUNTER = IndicatorSpec(name="raw_tokens_per_s", level=1, query="sum(tokens_total)", kind="counter")
SEVERAL = IndicatorSpec(name="several_rps", level=2, query="load")
WRONG = IndicatorSpec(name="wrong_rps", level=2, query="sum(load")
NAN = IndicatorSpec(name="nan_ratio", level=3, query="broken")
PUSHED = IndicatorSpec(name="pushed_ratio", level=3)
ALL = (INSTANT, WINDOW, RATE, COUNTER, SEVERAL, WRONG, NAN, PUSHED)


@pytest.fixture(scope="module")
def prometheus_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prometheus_server(tmp_path_factory.mktemp("prometheus")) as url:
        yield url


@pytest.fixture
def real(deps: IngestDeps, prometheus_url: str, settings: Settings) -> Iterator[IngestDeps]:
    deps.source = PrometheusSource(prometheus_url)
    deps.settings = settings.model_copy(update={"fit_max_steps": 60})
    yield deps
    deps.source.close()


def pull(deps: IngestDeps) -> PullResult:
    return pull_shard(deps, 0, deps.clock.now())


def values(deps: IngestDeps, workload_id: int, indicator: IndicatorSpec) -> dict[int, float | None]:
    """Value per step, numbered from T0."""
    steps = stored_steps(deps.engine, workload_id, indicator.name)
    return {(step_at - T0) // STEP: value for step_at, value in steps}


def test_history_then_steps_from_a_real_prometheus(
    real: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    (workload_id,) = register(1, ALL)
    clock.advance(10 * 60 + 5)
    result = pull(real)
    assert result.n_errors == {"several_series": 2, "bad_query": 2}  # history, and newest steps
    assert result.n_accepted > 0
    assert [job.name for job in sender.sent] == [jobs.INGEST_RESAMPLE, jobs.CALIBRATE_PRIOR]
    done = service.resample_shard(real, 0, clock.now())
    assert done.origins == (T0 + 9 * STEP,)
    steps = range(-60, 10)
    assert values(real, workload_id, INSTANT) == dict.fromkeys(steps, 31.5)
    assert values(real, workload_id, WINDOW) == dict.fromkeys(steps, 31.5)
    for indicator in (RATE, COUNTER):
        found = values(real, workload_id, indicator)
        assert list(found) == list(steps)
        assert found == pytest.approx(dict.fromkeys(steps, 40.0))
    for indicator in (SEVERAL, WRONG, NAN):
        assert set(values(real, workload_id, indicator).values()) == {None}


def test_pulling_again_changes_nothing(
    real: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    (workload_id,) = register(1, (INSTANT, RATE, COUNTER))
    clock.advance(10 * 60)
    pull(real)
    service.resample_shard(real, 0, clock.now())
    before = {indicator.name: values(real, workload_id, indicator) for indicator in (INSTANT, RATE)}
    sender.sent.clear()
    again = pull(real)
    assert (again.n_history_rows, again.n_errors, sender.sent) == (0, {}, [])
    assert service.resample_shard(real, 0, clock.now()).n_rows == 0
    after = {indicator.name: values(real, workload_id, indicator) for indicator in (INSTANT, RATE)}
    assert after == before


def test_what_is_pulled_of_long_steps_is_fresh_to_the_alert(
    real: IngestDeps, clock: FixedClock, register: Register
) -> None:
    """A sample stands at the start of its step, so it is two steps old when the next one comes."""
    register(1, (RATE,), step_s=300)
    real.settings = real.settings.model_copy(update={"step_s": 300})
    ages = []
    clock.advance(600)
    for _ in range(40):
        pull(real)
        ages.append(exported(real.engine, clock.now(), "metrics_age_seconds") or 0.0)
        clock.advance(15)
    step_s = exported(real.engine, clock.now(), "step_seconds")
    assert (min(ages), max(ages), step_s) == (300, 585, 300)


def test_a_reset_and_a_gap_from_a_real_prometheus(
    real: IngestDeps, clock: FixedClock, register: Register
) -> None:
    (workload_id,) = register(1, (INSTANT, WINDOW, COUNTER, RATE))
    for minute in range(15, 56, 5):
        clock.advance((T0 + minute * STEP - clock.now()).total_seconds() + real.settings.grace_s)
        pull(real)
        service.resample_shard(real, 0, clock.now())
    gap = range(30, 50)
    for indicator in (INSTANT, WINDOW, COUNTER, RATE):
        found = values(real, workload_id, indicator)
        right = 31.5 if indicator in (INSTANT, WINDOW) else 40.0
        assert [found[step] for step in gap] == [None] * 20, indicator.name  # never 0, no repeats
        if indicator is not RATE:  # Prometheus takes the last growth before a reset for all of it
            assert found[20] == pytest.approx(right), indicator.name
        others = [found[step] for step in found if step not in (*gap, 20, 50)]
        assert others == pytest.approx([right] * len(others)), indicator.name


def test_a_failing_source_leaves_gaps_and_the_pipeline_goes_on(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    source = FakeSource()
    deps.source = source
    (first, _) = register(2, (INSTANT, RATE))
    clock.advance(60)
    pull(deps)
    service.resample_shard(deps, 0, clock.now())
    source.error = SourceError("timeout", "http://prometheus:9090 gave no answer within 10 s")
    source.asked.clear()
    labels = {"source": "prometheus", "reason": "timeout"}
    name = "harmony_source_errors_total"
    before = telemetry.REGISTRY.get_sample_value(name, labels) or 0
    clock.advance(60 + deps.settings.grace_s)
    result = pull(deps)
    assert sum(result.n_errors.values()) == 4
    assert result.n_errors["timeout"] == len(source.asked)  # a dead server is not asked on and on
    after = telemetry.REGISTRY.get_sample_value(name, labels)
    assert after == before + result.n_errors["timeout"]
    with deps.engine.connect() as connection:
        statement = text("SELECT n_rejected FROM ingest_cursors ORDER BY workload_id")
        counted = connection.execute(statement).scalars().all()
    assert sum(n for found in counted for n in found.values()) == 4
    swept = service.sweep(deps, clock.now())
    assert (swept.resampled, swept.pulled) == ((0,), (0,))
    assert service.resample_shard(deps, 0, clock.now()).origins == (T0 + STEP,)
    assert values(deps, first, INSTANT)[1] is None
    source.error = None  # and when it is back, the gap closes
    pull(deps)
    service.resample_shard(deps, 0, clock.now())
    assert values(deps, first, INSTANT)[1] == 31.5


def test_the_prior_is_told_of_a_history_and_not_of_the_steps_after_it(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    deps.source = FakeSource()
    register(1, (INSTANT,))
    for expected in (1, 0):
        clock.advance(60)
        pull(deps)
        service.resample_shard(deps, 0, clock.now())
        assert [job.name for job in sender.sent].count(jobs.CALIBRATE_PRIOR) == expected
        sender.sent.clear()


def test_what_requests_felt_in_the_past_is_asked_for_once_and_learned_from(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    counts = {"total": 60.0, "good": 57.0, "ready": 4.0}
    constant = {name: lambda at_s, value=value: value for name, value in counts.items()}
    source = FakeSource({"sum(load)": lambda at_s: 30.0, **constant})
    deps.source = source
    queries = {"sli_ttft_total": "total", "sli_ttft_good": "good", "sli_ready": "ready"}
    series = tuple(SliSeriesSpec(name=name, query=query) for name, query in queries.items())
    goal = GoalSpec(metric="ttft", threshold_s=0.5)
    (workload_id,) = register(1, (INSTANT,), objective=ObjectiveSpec(goals=(goal,), series=series))
    clock.advance(60)
    pull(deps)
    (job,) = (job for job in sender.sent if job.name == jobs.LEARN_HISTORY)
    assert job.payload == {"shard": 0}
    assert stored_steps(deps.engine, workload_id, "sli_ready")
    assert [query.expression for query in source.asked].count("ready") == 1
    service.resample_shard(deps, 0, clock.now())
    source.asked.clear()
    sender.sent.clear()
    clock.advance(60)
    pull(deps)
    assert {query.expression for query in source.asked} == {"sum(load)", "total", "good"}
    assert jobs.LEARN_HISTORY not in [job.name for job in sender.sent]


def test_an_objective_that_comes_later_is_asked_for_in_the_past_too(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    counts = {"total": 60.0, "good": 57.0, "better": 59.0, "ready": 4.0}
    constant = {name: lambda at_s, value=value: value for name, value in counts.items()}
    source = FakeSource({"sum(load)": lambda at_s: 30.0, **constant})
    deps.source = source
    ids = register(MOST_AT_ONCE + 1, (INSTANT,))

    def asked_of_the_past() -> int:
        source.asked.clear()
        sender.sent.clear()
        clock.advance(60)
        pull(deps)
        service.resample_shard(deps, 0, clock.now())
        n_learning = [job.name for job in sender.sent].count(jobs.LEARN_HISTORY)
        n_asked = [query.expression for query in source.asked].count("ready")
        assert n_learning == min(1, n_asked)
        return n_asked

    assert asked_of_the_past() == 0
    for good, n_most in (("good", MOST_AT_ONCE), ("better", MOST_AT_ONCE)):
        _set_objective(deps, ids, {"sli_ttft_total": "total", "sli_ttft_good": good})
        source.error = SourceError("unreachable", "connection refused")
        assert asked_of_the_past() == 0, "a server that is away is asked again later"
        source.error = None
        assert [asked_of_the_past() for _ in range(3)] == [n_most, 1, 0]
    newest = max(step_at for step_at, _ in stored_steps(deps.engine, ids[0], "sli_ready"))
    assert clock.now() - newest > timedelta(seconds=deps.settings.late_s) + 3 * STEP
    assert stored_steps(deps.engine, ids[0], "sli_ttft_good")[0][1] == 59.0


def _set_objective(deps: IngestDeps, ids: list[int], queries: dict[str, str]) -> None:
    series = [{"name": name, "query": query} for name, query in queries.items()]
    series.append({"name": "sli_ready", "query": "ready"})
    goal = GoalSpec(metric="ttft", threshold_s=0.5)
    objective = ObjectiveSpec.model_validate({"goals": (goal,), "series": series})
    statement = text(
        "UPDATE workloads SET spec_version = spec_version + 1, "
        "spec = jsonb_set(spec, '{sla,objective}', CAST(:objective AS jsonb)) WHERE id = ANY(:ids)"
    )
    with deps.engine.begin() as connection:
        connection.execute(statement, {"objective": objective.model_dump_json(), "ids": ids})


def test_an_outage_longer_than_late_s_is_filled_from_the_source(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    source = FakeSource()
    deps.source = source
    (workload_id,) = register(1, (INSTANT,))
    clock.advance(60)
    pull(deps)
    service.resample_shard(deps, 0, clock.now())
    clock.advance(1500 + deps.settings.grace_s)
    service.resample_shard(deps, 0, clock.now())
    assert [values(deps, workload_id, INSTANT)[step] for step in (0, 1, 24)] == [31.5, None, None]
    pull(deps)
    service.resample_shard(deps, 0, clock.now())
    found = values(deps, workload_id, INSTANT)
    assert [found[step] for step in range(26)] == [31.5] * 26


def test_the_sweep_pulls_each_new_step_also_when_samples_are_pushed(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    deps.source = FakeSource()
    register(1, (INSTANT, PUSHED))
    register(1, (PUSHED,), shard=1, prefix="pushed")
    clock.advance(60)
    pull(deps)
    service.resample_shard(deps, 0, clock.now())
    assert service.sweep(deps, clock.now()).pulled == (0,)
    clock.advance(45)
    assert service.sweep(deps, clock.now()).pulled == ()
    clock.advance(15)
    assert service.sweep(deps, clock.now()).pulled == (0,)


def test_without_a_source_nothing_is_pulled(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    register(1, (INSTANT,))
    clock.advance(60)
    assert pull(deps) == PullResult(0, 0, {})
    assert service.sweep(deps, clock.now()).pulled == ()
