"""What each task of a worker cost, a line for each in a file, and their sums by stage."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from services.kernel import jobs

INGEST, OPERATOR, SWEEP = "ingest", "operator", "sweep"
STAGES = (INGEST, "resample", "forecast", "decide", OPERATOR, "score", SWEEP)
_STAGE_OF = {
    jobs.INGEST_RESAMPLE: "resample",
    jobs.FORECAST_SHARD: "forecast",
    jobs.DECIDE_SHARD: "decide",
    jobs.FORECAST_SCORE: "score",
}


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One run of a task.

    Attributes:
        job: Name of the job.
        began_s: Epoch seconds, by the wall clock.
        wall_s: How long it took.
        python_s: CPU time of the worker's process.
        database_s: CPU time of the server processes of its connections.
    """

    job: str
    began_s: float
    wall_s: float
    python_s: float
    database_s: float

    @property
    def stage(self) -> str:
        """Stage that it is counted for; what repeats by the clock and looks for work is `sweep`."""
        return _STAGE_OF.get(self.job, SWEEP)

    def line(self) -> str:
        """One line of the file."""
        return json.dumps(asdict(self)) + "\n"


@dataclass(slots=True)
class StageCost:
    """CPU seconds of a stage, and how often it ran."""

    python_s: float = 0.0
    database_s: float = 0.0
    wall_s: float = 0.0
    n_runs: int = 0

    @property
    def cpu_s(self) -> float:
        """Of both sides."""
        return self.python_s + self.database_s

    def add(self, python_s: float, database_s: float, wall_s: float) -> None:
        """Count a run."""
        self.python_s += python_s
        self.database_s += database_s
        self.wall_s += wall_s
        self.n_runs += 1


def read_records(files: Iterable[Path]) -> list[TaskRecord]:
    """Every task that ended; a last line that a killed worker left unfinished is none."""
    found = []
    for file in files:
        text = file.read_text()
        whole = text[: text.rfind("\n") + 1]
        found += [TaskRecord(**json.loads(line)) for line in whole.splitlines()]
    return sorted(found, key=lambda record: record.began_s)


def cost_by_stage(
    records: Iterable[TaskRecord], since_s: float, until_s: float
) -> dict[str, StageCost]:
    """Sums of the tasks that began within a time."""
    costs: dict[str, StageCost] = defaultdict(StageCost)
    for record in records:
        if since_s <= record.began_s < until_s:
            costs[record.stage].add(record.python_s, record.database_s, record.wall_s)
    return costs


def cost_by_job(records: Iterable[TaskRecord], since_s: float) -> dict[str, StageCost]:
    """Sums of the tasks that began since a time, by their jobs."""
    costs: dict[str, StageCost] = defaultdict(StageCost)
    for record in records:
        if record.began_s >= since_s:
            costs[record.job].add(record.python_s, record.database_s, record.wall_s)
    return dict(sorted(costs.items()))
