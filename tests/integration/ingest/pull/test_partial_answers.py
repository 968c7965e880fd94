"""A store behind the source is down: what it answers is of a part of the data."""

from __future__ import annotations

from urllib.parse import parse_qs

import httpx
import pytest
from sqlalchemy import text

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.pull.service import PullResult, pull_shard
from services.ingest.series.prometheus import PrometheusSource
from services.kernel.clock import FixedClock
from services.kernel.domain import IndicatorSpec
from services.kernel.settings import Settings
from tests.integration.ingest.conftest import Register, stored_steps

pytestmark = pytest.mark.integration
LOAD = IndicatorSpec(name="load_rps", level=1, query="sum(rate(x[$step]))")
SPARSE = LOAD.model_copy(update={"gap": "Zero"})
WARNING = "receive series from Addr: store-2: connection refused"


class Federation:
    """Two stores of 60 each behind one API; the second may be down, or both may be empty."""

    def __init__(self) -> None:
        self.is_down, self.is_empty = False, False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        form = {
            key: float(found[0])
            for key, found in parse_qs(request.content.decode()).items()
            if key in {"start", "end", "step"}
        }
        n_steps = int((form["end"] - form["start"]) / form["step"]) + 1
        value = "60" if self.is_down else "120"
        values = [[form["start"] + number * form["step"], value] for number in range(n_steps)]
        series = [] if self.is_down and self.is_empty else [{"metric": {}, "values": values}]
        body = {"status": "success", "data": {"resultType": "matrix", "result": series}}
        if self.is_down:
            body["warnings"] = [WARNING]
        return httpx.Response(200, json=body)


@pytest.fixture
def stores(deps: IngestDeps, settings: Settings, clock: FixedClock) -> Federation:
    found = Federation()
    deps.settings = settings.model_copy(update={"fit_max_steps": 30})
    deps.source = PrometheusSource("http://thanos:9090", transport=httpx.MockTransport(found))
    clock.advance(60)
    return found


def pull(deps: IngestDeps, clock: FixedClock) -> PullResult:
    found = pull_shard(deps, 0, clock.now())
    service.resample_shard(deps, 0, clock.now())
    clock.advance(60)
    return found


def told(deps: IngestDeps) -> list[tuple[str, str]]:
    statement = text("SELECT stage, message FROM workload_errors ORDER BY stage")
    with deps.engine.connect() as connection:
        return [(row[0], row[1]) for row in connection.execute(statement)]


@pytest.mark.parametrize(
    ("indicator", "is_empty"), [(LOAD, False), (SPARSE, False), (SPARSE, True)]
)
def test_a_part_is_not_taken_for_the_whole_nor_for_zero(
    deps: IngestDeps,
    clock: FixedClock,
    register: Register,
    stores: Federation,
    indicator: IndicatorSpec,
    is_empty: bool,
) -> None:
    (workload_id,) = register(1, (indicator,))
    for number in range(25):
        stores.is_down, stores.is_empty = 5 <= number < 20, is_empty
        result = pull(deps, clock)
        assert set(result.n_errors) == ({"partial"} if stores.is_down else set())
        one = told(deps)[-1] if stores.is_down else ("source", WARNING)
        assert (one[0], WARNING in one[1]) == ("source", True)
        assert bool(told(deps)) == stores.is_down
        if number == 12:
            newest = [value for _, value in stored_steps(deps.engine, workload_id, "load_rps")][-9:]
            assert newest == [120.0] * 2 + [None] * 7, "the last minute waits for its samples"
    values = [value for _, value in stored_steps(deps.engine, workload_id, "load_rps")]
    assert set(values) == {120.0}, "what was missed is read when all stores answer"


def test_a_history_of_a_part_is_asked_for_again(
    deps: IngestDeps, clock: FixedClock, register: Register, stores: Federation
) -> None:
    (workload_id,) = register(1, (LOAD,))
    stores.is_down = True
    pull(deps, clock)
    assert [stage for stage, _ in told(deps)] == ["history", "source"]
    assert "load_rps: " in told(deps)[1][1]
    stores.is_down = False
    for _ in range(10):
        pull(deps, clock)
    assert told(deps) == []
    values = [value for _, value in stored_steps(deps.engine, workload_id, "load_rps")]
    assert (set(values), len(values) > 30) == ({120.0}, True)
