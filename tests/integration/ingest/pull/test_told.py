"""What a pull tells of a query whose answer cannot be used."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from services.ingest.deps import IngestDeps
from services.ingest.pull.service import pull_shard
from services.ingest.series.source import SourceError
from services.kernel.clock import FixedClock
from services.kernel.domain import IndicatorSpec
from tests.contract.ingest.prometheus_world import FakeSource
from tests.integration.ingest.conftest import Register

pytestmark = pytest.mark.integration
LOAD = IndicatorSpec(name="load_rps", level=1, query="sum(load)")
WRONG = IndicatorSpec(name="wrong_rps", level=2, query="sum(load")


def told(deps: IngestDeps) -> dict[int, str]:
    statement = text("SELECT workload_id, message FROM workload_errors WHERE stage = 'source'")
    with deps.engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(statement)}


def correct(deps: IngestDeps, query: str) -> None:
    statement = text(
        "UPDATE workloads SET spec = jsonb_set(spec, '{indicators,1,query}', to_jsonb(CAST(:query "
        "AS text))), spec_version = spec_version + 1 WHERE name LIKE 'wrong%'"
    )
    with deps.engine.begin() as connection:
        connection.execute(statement, {"query": query})


def pull(deps: IngestDeps, clock: FixedClock) -> None:
    clock.advance(60)
    pull_shard(deps, 0, clock.now())


def test_a_query_that_gives_nothing_to_use_is_named_until_it_does(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    source = deps.source = FakeSource()
    register(1, (LOAD,))
    (wrong,) = register(1, (LOAD, WRONG), prefix="wrong")
    pull(deps, clock)
    assert told(deps) == {wrong: "Unavailable: wrong_rps: unclosed left parenthesis"}
    source.error = SourceError("unreachable", "connection refused")
    pull(deps, clock)
    assert list(told(deps)) == [wrong], "a server that is away says nothing of it"
    source.error = None
    correct(deps, "sum(load)")
    pull(deps, clock)
    assert told(deps) == {}


def test_who_asks_no_more_is_told_nothing(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    deps.source = FakeSource()
    (wrong,) = register(1, (LOAD.model_copy(update={"query": ""}), WRONG), prefix="wrong")
    pull(deps, clock)
    assert list(told(deps)) == [wrong]
    correct(deps, "")
    pull(deps, clock)
    assert told(deps) == {}
