"""Which part of a trace is replayed, and which workloads can be part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet.resample import panel
from services.simulator.fleet.trace_file import TraceSeries

MIN_KNOWN_HISTORY = 0.5
MIN_KNOWN_REPLAY = 0.5


@dataclass(frozen=True, slots=True)
class DroppedWorkload:
    """A workload of the file that is not replayed, and why."""

    workload: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReplaySpan:
    """Steps of a history and a replay."""

    end_s: int
    step_s: int
    n_history: int
    n_replay: int

    @property
    def start_s(self) -> int:
        """Start of the history."""
        return self.end_s - (self.n_history + self.n_replay) * self.step_s

    def end_said(self, last_s: int, shift_s: int) -> str:
        """When the replay ends, and how much of the data comes after it.

        Args:
            last_s: End of the data.
            shift_s: What their clock was shifted by.
        """
        end = datetime.fromtimestamp(self.end_s + shift_s, UTC)
        after_h = (last_s - self.end_s) / 3600.0
        rest = f"the {after_h:.3g} h after it are not used" if after_h else "as the data do"
        return f"the replay ends {end:%Y-%m-%dT%H:%M:%SZ}; {rest}"


@dataclass(frozen=True, slots=True)
class SpanSearch:
    """What replays are looked for in.

    Attributes:
        series: Workloads on the grid of steps.
        j_demand: Place of the demand among the indicators.
        step_s: Length of a step.
        n_replay: Steps to replay.
        min_history: Fewest steps before them.
        max_history: Most steps before them; None: all.
    """

    series: Sequence[TraceSeries]
    j_demand: int
    step_s: int
    n_replay: int
    min_history: int
    max_history: int | None

    @property
    def first_s(self) -> int:
        """Start of the data."""
        return min(int(s.time_s[0]) for s in self.series)

    @property
    def last_s(self) -> int:
        """End of the data."""
        return max(int(s.time_s[-1]) for s in self.series) + self.step_s

    def spans(self) -> list[ReplaySpan]:
        """All that may be replayed, the latest end first, and of one end the longest history."""
        ends = sorted({int(s.time_s[-1]) + self.step_s for s in self.series}, reverse=True)
        return [span for end_s in ends for span in self._ending(end_s)]

    def _ending(self, end_s: int) -> list[ReplaySpan]:
        """Those that end at `end_s`.

        Later starts are those of workloads that are known in the replay: of one that is younger
        than the others the time before it began counts as no unknown history.
        """
        replay_s = end_s - self.n_replay * self.step_s
        starts = [self.first_s]
        for s in self.series:
            known_s = s.time_s[np.isfinite(s.values[:, self.j_demand]) & (s.time_s < end_s)]
            if (known_s >= replay_s).sum() >= MIN_KNOWN_REPLAY * self.n_replay:
                starts.append(int(known_s[0]))
        lengths = {(replay_s - start_s) // self.step_s for start_s in starts}
        if self.max_history is not None:
            lengths = {min(n_history, self.max_history) for n_history in lengths}
        return [
            ReplaySpan(end_s, self.step_s, n_history, self.n_replay)
            for n_history in sorted(lengths, reverse=True)
            if n_history >= self.min_history
        ]


@dataclass(frozen=True, slots=True, eq=False)
class SortedOut:
    """Workloads that can be part of a replay, with their values on its steps, and the others."""

    span: ReplaySpan
    kept: dict[str, FloatArray]
    dropped: tuple[DroppedWorkload, ...]


def latest_usable(search: SpanSearch, spans: Sequence[ReplaySpan]) -> SortedOut:
    """The first span that some workload can be part of; where none can, the first of all.

    What runs today is replayed, not what has been retired since.
    """
    tried = (_sorted_out(search, span) for span in spans)
    first = next(tried)
    return first if first.kept else next((one for one in tried if one.kept), first)


def _sorted_out(search: SpanSearch, span: ReplaySpan) -> SortedOut:
    kept: dict[str, FloatArray] = {}
    dropped = []
    for s in search.series:
        rows = panel(s, span.start_s, span.n_history + span.n_replay, span.step_s)
        reason = _unusable(rows[:, search.j_demand], span.n_history)
        if reason is None:
            kept[s.workload] = rows
        else:
            dropped.append(DroppedWorkload(s.workload, reason + _hint(s, span.step_s)))
    return SortedOut(span, kept, tuple(dropped))


def _hint(series: TraceSeries, step_s: int) -> str:
    own_s = series.interval_s or 0
    return f"; its rows are {own_s} s apart, as --step {own_s} has it" if own_s > step_s else ""


def _unusable(demand: FloatArray, n_history: int) -> str | None:
    history, replay = demand[:n_history], demand[n_history:]
    known = history[np.isfinite(history)]
    if known.size < MIN_KNOWN_HISTORY * history.size:
        return f"demand known in {known.size} of {history.size} history steps"
    n_replay_known = int(np.isfinite(replay).sum())
    if n_replay_known < MIN_KNOWN_REPLAY * replay.size:
        return f"demand known in {n_replay_known} of {replay.size} replayed steps"
    if np.nanmin(demand) < 0:
        return "negative demand"
    if not np.any(known > 0):
        return "no demand in the history: always zero"
    if float(known.max()) == float(known.min()):
        return "constant demand in the history"
    return None
