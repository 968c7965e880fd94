"""Which part of a trace is replayed, and which workloads can be part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

import numpy as np

from services.simulator.fleet.arrays import BoolArray, FloatArray, IntArray
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


@dataclass(frozen=True, slots=True, eq=False)
class KnownDemand:
    """A workload's demand where it is known; arrays (N,), in the order of time."""

    time_s: IntArray
    value: FloatArray

    def is_usable(self, spans: Sequence[ReplaySpan]) -> BoolArray:
        """(S,) whether the workload can be part of each span; the same as `_unusable` of its rows.

        Args:
            spans: Spans of one end and one replay.
        """
        n_replay, end_s, step_s = spans[0].n_replay, spans[0].end_s, spans[0].step_s
        first, last = np.searchsorted(self.time_s, [end_s - n_replay * step_s, end_s])
        if first == 0 or last - first < MIN_KNOWN_REPLAY * n_replay:
            return np.zeros(len(spans), dtype=bool)
        history = self.value[:first][::-1]  # spans differ in how far back it goes
        high = np.maximum.accumulate(history)[::-1]
        low = np.minimum.accumulate(history)[::-1]
        begin = np.searchsorted(self.time_s, [span.start_s for span in spans])
        n_history = np.array([span.n_history for span in spans])
        is_known = (first - begin > 0) & (first - begin >= MIN_KNOWN_HISTORY * n_history)
        high, low = (ends[np.minimum(begin, first - 1)] for ends in (high, low))
        is_positive = (low >= 0) & (self.value[first:last].min() >= 0) & (high > 0)
        return np.asarray(is_known & is_positive & (high != low))


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

    def spans(self) -> Iterator[ReplaySpan]:
        """All that may be replayed, the latest end first.

        They are made as they are asked for: of services that come and go there are as many as the
        square of their number, and nearly always one of the first will do.
        """
        known = self.known()
        ends = sorted({int(s.time_s[-1]) + self.step_s for s in self.series}, reverse=True)
        for end_s in ends:
            yield from self._ending(end_s, known)

    def known(self) -> list[KnownDemand]:
        """Of each workload when its demand is known, and what it is then."""
        found = []
        for one in self.series:
            demand = one.values[:, self.j_demand]
            is_known = np.isfinite(demand)
            found.append(KnownDemand(one.time_s[is_known], demand[is_known]))
        return found

    def _ending(self, end_s: int, known: Sequence[KnownDemand]) -> list[ReplaySpan]:
        """Those that end at `end_s`.

        Later starts are those of workloads that are known in the replay: of one that is younger
        than the others the time before it began counts as no unknown history.
        """
        replay_s = end_s - self.n_replay * self.step_s
        starts = [self.first_s]
        for one in known:
            n_replayed = int(np.diff(np.searchsorted(one.time_s, [replay_s, end_s]))[0])
            if n_replayed >= MIN_KNOWN_REPLAY * self.n_replay:
                starts.append(int(one.time_s[0]))
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


def latest_usable(search: SpanSearch, spans: Iterable[ReplaySpan]) -> SortedOut:
    """The latest end at which some workload can be used, with the history that is worth most.

    What runs today is replayed, not what has been retired since. Of spans with one end it is the
    one whose workloads have most history together: a single old workload would else leave out all
    that began since, and a single new one would take from all others what they have. Where nothing
    can be used, it is the first span of all.

    Args:
        search: What they are spans of.
        spans: One at least, the latest end first.
    """
    first: ReplaySpan | None = None
    known = search.known()
    for _, same_end in groupby(spans, key=lambda span: span.end_s):
        ending = list(same_end)
        first = first or ending[0]
        n_usable = np.sum([one.is_usable(ending) for one in known], axis=0)
        if n_usable.any():
            worth = [_worth(span, int(n)) for span, n in zip(ending, n_usable, strict=True)]
            return _sorted_out(search, ending[worth.index(max(worth))])
    assert first is not None  # there is a span
    return _sorted_out(search, first)


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
    why_not: Callable[[FloatArray, ReplaySpan], str | None] | None = None,
) -> SortedOut:
    kept: dict[str, FloatArray] = {}
    dropped = []
    for s in search.series:
        rows = panel(s, span.start_s, span.n_history + span.n_replay, span.step_s)
        reason = (why_not or _unusable)(rows[:, search.j_demand], span)
        if reason is None:
            kept[s.workload] = rows
        else:
            dropped.append(DroppedWorkload(s.workload, reason + _hint(s, span.step_s)))
    return SortedOut(span, kept, tuple(dropped))


def _hint(series: TraceSeries, step_s: int) -> str:
    own_s = series.interval_s or 0
    return f"; its rows are {own_s} s apart, as --step {own_s} has it" if own_s > step_s else ""


def _unusable(demand: FloatArray, span: ReplaySpan) -> str | None:
    history, replay = demand[: span.n_history], demand[span.n_history :]
    known = history[np.isfinite(history)]
    if known.size < MIN_KNOWN_HISTORY * history.size:
        return f"demand known in {known.size} of {history.size} history steps"
    n_replay_known = int(np.isfinite(replay).sum())
    if n_replay_known < MIN_KNOWN_REPLAY * replay.size:
        return f"demand known in {n_replay_known} of {replay.size} replayed steps"
    if (reason := _without_demand(demand, span)) is not None:
        return reason
    if float(known.max()) == float(known.min()):
        return "constant demand in the history"
    return None


def _without_demand(demand: FloatArray, span: ReplaySpan) -> str | None:
    history = demand[: span.n_history]
    known = history[np.isfinite(history)]
    if known.size == 0:
        return f"demand known in none of {history.size} steps"
    if np.nanmin(demand) < 0:
        first = int(np.flatnonzero(demand < 0)[0])
        at = datetime.fromtimestamp(span.start_s + first * span.step_s, UTC)
        return f"negative demand, {demand[first]:g} in the step of {at:%Y-%m-%dT%H:%M:%SZ}"
    if not np.any(known > 0):
        return "no demand in the history: always zero"
    return None
