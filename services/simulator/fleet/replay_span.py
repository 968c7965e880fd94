"""Which part of a trace is replayed, and which workloads can be part of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

import numpy as np

from services.simulator.fleet.arrays import FloatArray, IntArray
from services.simulator.fleet.resample import panel
from services.simulator.fleet.trace_file import TraceSeries

MIN_KNOWN_HISTORY = 0.5
MIN_KNOWN_REPLAY = 0.5
ENOUGH_HISTORY_S = 14 * 86_400
"""Of a history that is longer, what is older is worth no workload that would be left out for it."""


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
        """All that may be replayed, the latest end first."""
        ends = sorted({int(s.time_s[-1]) + self.step_s for s in self.series}, reverse=True)
        return [span for end_s in ends for span in self._ending(end_s)]

    def known_s(self) -> list[IntArray]:
        """Per workload the times at which its demand is known."""
        return [s.time_s[np.isfinite(s.values[:, self.j_demand])] for s in self.series]

    def _ending(self, end_s: int) -> list[ReplaySpan]:
        """Those that end at `end_s`.

        Later starts are those of workloads that are known in the replay: of one that is younger
        than the others the time before it began counts as no unknown history.
        """
        replay_s = end_s - self.n_replay * self.step_s
        starts = [self.first_s]
        for known_s in (one[one < end_s] for one in self.known_s()):
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
    """The latest end at which some workload can be used, with the history that is worth most.

    What runs today is replayed, not what has been retired since. Where nothing can be used, it is
    the first span of all.
    """
    for _, same_end in groupby(spans, key=lambda span: span.end_s):
        found = _worth_most(search, list(same_end))
        if found.kept:
            return found
    return _sorted_out(search, spans[0])


def _worth_most(search: SpanSearch, spans: Sequence[ReplaySpan]) -> SortedOut:
    """Of spans with one end, the one whose workloads have most history together.

    A single old workload would else leave out all that began since, and a single new one would
    take from all others what they have.
    """
    known_s = search.known_s()
    bounds = [_worth(span, _n_known_enough(known_s, span)) for span in spans]
    found: SortedOut | None = None
    best = (-1, 0)
    for bound, span in sorted(zip(bounds, spans, strict=True), key=lambda one: one[0])[::-1]:
        if found is not None and best >= bound:
            break
        one = _sorted_out(search, span)
        if (worth := _worth(span, len(one.kept))) > best:
            found, best = one, worth
    assert found is not None  # there is a span
    return found


def _n_known_enough(known_s: Sequence[IntArray], span: ReplaySpan) -> int:
    """How many workloads are known in enough of a span: the most that it can keep."""
    replay_s = span.end_s - span.n_replay * span.step_s
    counts = [
        np.diff(np.searchsorted(one, [span.start_s, replay_s, span.end_s])) for one in known_s
    ]
    least = (MIN_KNOWN_HISTORY * span.n_history, MIN_KNOWN_REPLAY * span.n_replay)
    return int((np.array(counts) >= least).all(axis=1).sum())


def _worth(span: ReplaySpan, n_kept: int) -> tuple[int, int]:
    """Seconds of history of all workloads that are kept; of two the same the longer span."""
    return n_kept * min(span.n_history * span.step_s, ENOUGH_HISTORY_S), span.n_history


def whole(search: SpanSearch) -> SortedOut:
    """All of the data, with every workload that has a demand to take the size of a replica from."""
    n_steps = (search.last_s - search.first_s) // search.step_s
    span = ReplaySpan(search.last_s, search.step_s, n_steps - 1, 1)
    return _sorted_out(search, span, _without_demand)


def _sorted_out(
    search: SpanSearch,
    span: ReplaySpan,
    why_not: Callable[[FloatArray, int], str | None] | None = None,
) -> SortedOut:
    kept: dict[str, FloatArray] = {}
    dropped = []
    for s in search.series:
        rows = panel(s, span.start_s, span.n_history + span.n_replay, span.step_s)
        reason = (why_not or _unusable)(rows[:, search.j_demand], span.n_history)
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
    if (reason := _without_demand(demand, n_history)) is not None:
        return reason
    if float(known.max()) == float(known.min()):
        return "constant demand in the history"
    return None


def _without_demand(demand: FloatArray, n_history: int) -> str | None:
    history = demand[:n_history]
    known = history[np.isfinite(history)]
    if known.size == 0:
        return f"demand known in none of {history.size} steps"
    if np.nanmin(demand) < 0:
        return "negative demand"
    if not np.any(known > 0):
        return "no demand in the history: always zero"
    return None
