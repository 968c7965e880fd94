"""An objective that is counted by push, and what is stored of its counts."""

from __future__ import annotations

from sqlalchemy import text

from services.ingest.deps import IngestDeps
from services.ingest.push.service import PushResult, push
from services.kernel.domain.objective import GoalSpec, ObjectiveSpec, SliSeriesSpec
from tests.integration.ingest.pushes import at_s, body

TOTAL, GOOD, UPTO = "sli_ttft_total", "sli_ttft_good", "sli_ttft_upto"
LOST, WAITING = "sli_lost", "sli_waiting"
GOALS = (GoalSpec(metric="ttft", threshold_s=0.5),)
PUSHED = ObjectiveSpec(goals=GOALS)


def pulled(**queries: str) -> ObjectiveSpec:
    """The objective whose series have these queries."""
    series = tuple(SliSeriesSpec(name=name, query=query) for name, query in queries.items())
    return ObjectiveSpec(goals=GOALS, series=series)


def push_count(deps: IngestDeps, name: str, *points: tuple[float, float]) -> PushResult:
    """Push (seconds after the start, value) points of a count of the first workload."""
    return push(deps, body(("w0", name, [[at_s(offset_s), value] for offset_s, value in points])))


def names_stored(deps: IngestDeps) -> set[str]:
    """Names that have any row of indicators."""
    with deps.engine.connect() as connection:
        return set(connection.execute(text("SELECT DISTINCT indicator FROM indicators")).scalars())
