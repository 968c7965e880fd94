"""Samples go straight into the table where they are new, and are compared where they may not be.

Whichever way they take, by whichever process: the same rows, cursors and answers.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from sqlalchemy import Engine, text

from services.ingest.deps import IngestDeps
from services.ingest.push.service import push
from services.ingest.series.known_series import KnownSeries
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from tests.integration.ingest.conftest import Register
from tests.integration.ingest.objective_counts import PUSHED, TOTAL
from tests.integration.ingest.pushes import HEAT, RATE, T0, TOKENS, at_s, body

pytestmark = pytest.mark.integration


class CarefulSeries(KnownSeries):
    """Takes nothing for new."""

    def are_new(self, *_: object) -> bool:
        return False


@pytest.fixture
def process(deps: IngestDeps) -> Callable[[], IngestDeps]:
    """Another process on the same database, with its own memory and outbox."""

    def make(**changes: Any) -> IngestDeps:
        fresh = {"known": KnownSeries(), "announced": {}}
        return replace(deps, sender=RecordingSender(), **{**fresh, **changes})

    return make


def state(database: Engine) -> dict[str, list[tuple[object, ...]]]:
    queries = {
        "observations": "SELECT workload_id, indicator, observed_at, value FROM observations",
        "indicators": "SELECT workload_id, indicator, step_at, value FROM indicators",
        "cursors": "SELECT workload_id, resampled_until, last_sample_at, n_rejected::text "
        "FROM ingest_cursors",
    }
    with database.connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(text(f"{query} ORDER BY 1, 2, 3"))]
            for name, query in queries.items()
        }


def empty(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("TRUNCATE observations, indicator_steps, ingest_cursors"))


samples = st.lists(
    st.tuples(st.integers(-90, 130), st.sampled_from([1.0, 2.0, -1.0, 1e19])), max_size=4
)
series = st.tuples(
    st.sampled_from(["w0", "w1", "gone"]),
    st.sampled_from([RATE, TOKENS, HEAT, TOTAL, "other"]),
    samples,
)
entries = st.lists(series, min_size=1, max_size=4).filter(  # without any sample it is refused
    lambda sent: any(some for *_, some in sent)
)
requests = st.lists(
    st.tuples(entries, st.booleans(), st.sampled_from([0, 40])),
    min_size=1,
    max_size=6,
)


def test_new_or_compared_the_rows_are_the_same(
    database: Engine, register: Register, process: Callable[..., IngestDeps]
) -> None:
    register(2, objective=PUSHED)

    @settings(max_examples=40, deadline=None)
    @given(requests)
    def check(sent: list[Any]) -> None:
        found = []
        for careful in (False, True):
            empty(database)
            now = FixedClock(T0 + timedelta(seconds=60))
            one, other = (process(clock=now) for _ in range(2))
            if careful:
                one = other = process(clock=now, known=CarefulSeries())
            answers = []
            for these, is_other, elapsed_s in sent:
                now.advance(elapsed_s)
                given_ = [
                    (who, what, [[at_s(at), v] for at, v in some]) for who, what, some in these
                ]
                answers.append(push(other if is_other else one, body(*given_)))
            found.append((answers, state(database)))
        assert found[0] == found[1]

    check()


def test_what_another_process_has_stored_is_replaced(
    database: Engine, clock: FixedClock, register: Register, process: Callable[..., IngestDeps]
) -> None:
    register()
    clock.advance(120)
    one, other = process(), process()
    push(one, body(("w0", RATE, [[at_s(10), 1.0]])))
    result = push(other, body(("w0", RATE, [[at_s(10), 2.0], [at_s(20), 3.0]])))
    assert (result.n_accepted, result.rejected) == (2, ())
    assert [row[3] for row in state(database)["observations"]] == [2.0, 3.0]
    assert len(other.sender.sent) == 1  # type: ignore[attr-defined]  # what was undone sent none


def test_a_workload_that_comes_back_is_written_again(
    database: Engine, clock: FixedClock, register: Register, deps: IngestDeps
) -> None:
    register(2)
    clock.advance(60)
    both = body(("w0", RATE, [[at_s(1), 1.0]]), ("w1", RATE, [[at_s(1), 1.0]]))
    assert push(deps, both).n_accepted == 2
    for is_active, n_accepted in ((False, 1), (False, 1), (True, 2)):
        with database.begin() as connection:
            statement = text("UPDATE workloads SET is_active = :is_active WHERE name = 'w1'")
            connection.execute(statement, {"is_active": is_active})
        assert push(deps, both).n_accepted == n_accepted


def test_an_indicator_that_the_spec_loses_is_refused_at_once(
    database: Engine, clock: FixedClock, register: Register, deps: IngestDeps
) -> None:
    register(1)
    clock.advance(60)
    both = body(("w0", HEAT, [[at_s(1), 1.0]]), ("w0", RATE, [[at_s(1), 1.0]]))
    assert push(deps, both).n_accepted == 2
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET spec = jsonb_set(spec, '{indicators}', "
                "jsonb_path_query_array(spec, '$.indicators[*] ? (@.name != $name)', :vars)), "
                "spec_version = spec_version + 1"
            ),
            {"vars": f'{{"name": "{HEAT}"}}'},
        )
    for _ in range(2):
        result = push(deps, both)
        assert result.n_accepted == 1
        assert [found.reason for found in result.rejected] == ["unknown_indicator"]


def test_a_database_that_was_made_anew_is_not_taken_for_the_old_one(
    database: Engine, clock: FixedClock, register: Register, deps: IngestDeps
) -> None:
    ids = register(2)
    clock.advance(60)
    request = body(("w1", RATE, [[at_s(1), 1.0]]))
    assert push(deps, request).n_accepted == 1
    empty(database)
    with database.begin() as connection:  # the same ids, each of the other workload
        for name, id_ in (("x", ids[1]), ("w1", ids[0]), ("w0", ids[1])):
            statement = text("UPDATE workloads SET name = :name WHERE id = :id")
            connection.execute(statement, {"name": name, "id": id_})
    assert push(deps, request).n_accepted == 1
    assert [row[0] for row in state(database)["observations"]] == [ids[0]]


def test_overlapping_pushes_of_two_processes_wait_in_no_circle(
    database: Engine, clock: FixedClock, register: Register, process: Callable[..., IngestDeps]
) -> None:
    register(4)
    clock.advance(60)
    both = [process(), process()]
    entries = [(f"w{n % 4}", (RATE, HEAT)[n % 2], [[at_s(n % 9), n]]) for n in range(36)]

    def send(number: int) -> int:
        rotated = entries[number:] + entries[:number]
        return push(both[number % 2], body(*rotated)).n_accepted  # type: ignore[arg-type]

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(send, range(16))) == {len({(w, i, s[0][0]) for w, i, s in entries})}
    assert len(state(database)["observations"]) == len({(w, i, s[0][0]) for w, i, s in entries})
