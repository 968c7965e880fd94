"""A back-fill fills in what is missing, may be sent again, and replaces nothing unasked."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from services.ingest.backfill.body import parse_csv
from services.ingest.backfill.schemas import HistoryAnswer
from services.ingest.backfill.service import fill
from services.ingest.deps import IngestDeps
from services.ingest.series.catalog import WorkloadName
from services.kernel.clock import FixedClock
from services.kernel.domain import GoalSpec, ObjectiveSpec
from services.kernel.errors import InvalidInput, NotFound
from services.kernel.jobs import CALIBRATE_PRIOR, LEARN_HISTORY, RecordingSender
from services.kernel.settings import Settings
from tests.integration.ingest.conftest import Register, stored_steps
from tests.integration.ingest.pushes import HEAT, RATE, T0, TOKENS, push_rate, resample

pytestmark = pytest.mark.integration
W0 = WorkloadName("shop", "w0")
STEP = timedelta(seconds=60)


def send(deps: IngestDeps, text: str, *, replaces: bool = False) -> HistoryAnswer:
    return fill(deps, W0, parse_csv(text.encode(), W0, 10_000), replaces=replaces)


def line(number: int, *values: object) -> str:
    return ",".join([(T0 + number * STEP).isoformat(), *map(str, values)])


def table(*lines: str, names: str = RATE) -> str:
    return "\n".join([f"time,{names}", *lines])


def rate(deps: IngestDeps, id_: int) -> dict[datetime, float | None]:
    return dict(stored_steps(deps.engine, id_, RATE))


@pytest.fixture
def w0(register: Register, clock: FixedClock) -> int:
    (id_,) = register()
    clock.advance(600)
    return id_


def test_steps_hold_the_mean_of_their_samples_and_no_step_is_made_up(
    deps: IngestDeps, w0: int
) -> None:
    half = (T0 + timedelta(seconds=30)).isoformat()
    found = send(
        deps, table(line(0, 1, ""), f"{half},3,", line(4, 5, 41.5), names=f"{RATE},{HEAT}")
    )
    assert (found.accepted, found.written, found.kept, found.rejected) == (4, 3, 0, [])
    assert (found.first_step_at, found.last_step_at) == (T0, T0 + 4 * STEP)
    assert rate(deps, w0) == {T0: 2.0, T0 + 4 * STEP: 5.0}
    assert stored_steps(deps.engine, w0, HEAT) == [(T0 + 4 * STEP, 41.5)]


def test_a_counter_is_given_as_its_rate(deps: IngestDeps, w0: int) -> None:
    assert send(deps, table(line(0, 2000), names=TOKENS)).written == 1
    assert stored_steps(deps.engine, w0, TOKENS) == [(T0, 2000.0)]


def test_counts_of_an_objective_are_taken_and_learned_from(
    deps: IngestDeps, sender: RecordingSender, register: Register, clock: FixedClock
) -> None:
    goal = GoalSpec(metric="ttft", threshold_s=0.5)
    register(objective=ObjectiveSpec(goals=(goal,)))
    clock.advance(1800)
    send(deps, table(line(0, 1)))
    assert LEARN_HISTORY not in [job.name for job in sender.sent]
    names = "sli_ttft_total,sli_ttft_good,sli_ready"
    assert send(deps, table(line(0, 20, 19, 3), names=names)).written == 3
    (job,) = (job for job in sender.sent if job.name == LEARN_HISTORY)
    assert job.payload == {"shard": 0}
    assert [job.name for job in sender.sent].count(CALIBRATE_PRIOR) == 1, "of the demand alone"
    found = send(deps, table(line(0, 20, 19, 3), line(25, 20, 0, 3), names=names))
    assert (found.accepted, found.unchanged) == (3, 3), "what is still judged is measured, not sent"
    (refused,) = found.rejected
    assert (refused.reason, refused.count) == ("future", 3)
    assert "that ended 840 s ago or earlier" in refused.example


def test_a_history_teaches_the_prior_as_one_that_was_pulled_does(
    deps: IngestDeps, sender: RecordingSender, w0: int
) -> None:
    send(deps, table(line(0, 1.1), line(1, 2.2)))
    assert [job.name for job in sender.sent] == [CALIBRATE_PRIOR]
    send(deps, table(line(0, 1.1), line(1, 2.2)))
    assert len(sender.sent) == 1, "nothing new was sent"


def test_the_same_again_changes_nothing(deps: IngestDeps, w0: int) -> None:
    sent = table(line(0, 1.1), line(1, 2.2))
    assert send(deps, sent).written == 2
    again = send(deps, sent)
    assert (again.written, again.unchanged, again.kept, again.replaced) == (0, 2, 0, 0)
    assert rate(deps, w0) == {T0: pytest.approx(1.1), T0 + STEP: pytest.approx(2.2)}


def test_what_was_measured_stays_unless_it_is_to_be_replaced(deps: IngestDeps, w0: int) -> None:
    push_rate(deps, (0, 7.0), (60, 8.0))
    resample(deps)
    before = rate(deps, w0)
    sent = table(line(-1, 1), line(0, 70), line(1, 8))
    found = send(deps, sent)
    assert (found.written, found.unchanged, found.kept, found.replaced) == (1, 1, 1, 0)
    assert found.kept_example is not None
    assert f"{RATE} at {T0.isoformat()}: 7 is stored, 70 was sent" in found.kept_example
    assert "?replace=true" in found.kept_example
    assert rate(deps, w0) == before | {T0 - STEP: 1.0}
    found = send(deps, sent, replaces=True)
    assert (found.written, found.unchanged, found.kept, found.replaced) == (0, 2, 0, 1)
    assert found.kept_example is None
    assert rate(deps, w0) == before | {T0 - STEP: 1.0, T0: 70.0}


def test_an_unobserved_step_is_filled_and_other_indicators_stay(deps: IngestDeps, w0: int) -> None:
    push_rate(deps, (0, 7.0), (180, 9.0))
    resample(deps)
    assert rate(deps, w0)[T0 + STEP] is None
    send(deps, table(line(0, 20), line(1, 21), names=HEAT))
    assert send(deps, table(line(1, 8))).written == 1
    assert rate(deps, w0)[T0 + STEP] == 8.0
    assert dict(stored_steps(deps.engine, w0, HEAT))[T0 + STEP] == 21.0


def test_a_later_push_goes_on_where_the_history_ends(
    deps: IngestDeps, clock: FixedClock, w0: int
) -> None:
    send(deps, table(*(line(n, n) for n in range(10))))
    push_rate(deps, (600, 50.0))
    clock.advance(70)
    assert resample(deps).origins == (T0 + 10 * STEP,)
    assert rate(deps, w0) == {T0 + n * STEP: float(n) for n in range(10)} | {T0 + 10 * STEP: 50.0}


def test_samples_that_cannot_be_used_are_counted_by_reason(
    deps: IngestDeps, settings: Settings, w0: int
) -> None:
    deps.settings = settings.model_copy(update={"retain_indicators_days": 1.0})
    found = send(
        deps,
        table(line(0, 1), line(1, -1), line(2, "nan"), line(3, 1e17), line(10, 5), line(-1500, 2),
              f"{T0.timestamp() * 1000},3"),
    )  # fmt: skip
    reasons = {one.reason: one.count for one in found.rejected}
    assert reasons == {
        "negative": 1, "not_finite": 1, "implausible": 1, "future": 2, "ancient": 1,
    }  # fmt: skip
    assert found.accepted == found.written == 1
    told = {one.reason: one.example for one in found.rejected}
    assert "push it to /v1/observations" in told["future"]
    assert "retain_indicators_days=1" in told["ancient"]


def test_none_that_can_be_used_is_an_error(deps: IngestDeps, w0: int) -> None:
    with pytest.raises(InvalidInput, match="none of 2 samples can be used: negative"):
        send(deps, table(line(0, -1), line(1, -2)))
    assert rate(deps, w0) == {}


def test_what_holds_no_sample_is_refused(deps: IngestDeps, w0: int) -> None:
    said = rf"^body: shop/w0 {RATE} has no sample; send one"
    for empty in (table(), table(line(0, ""), line(1, ""))):
        with pytest.raises(InvalidInput, match=said):
            send(deps, empty)
    assert rate(deps, w0) == {}


def test_unknown_names_are_told_the_known_ones(deps: IngestDeps, w0: int) -> None:
    with pytest.raises(InvalidInput, match=f"'rps' is none of shop/w0; .* one of {RATE}, {TOKENS}"):
        send(deps, table(line(0, 1), names="rps"))
    other = WorkloadName("shop", "w9")
    with pytest.raises(NotFound, match="shop/w9 does not exist"):
        fill(deps, other, parse_csv(table(line(0, 1)).encode(), other, 100))
