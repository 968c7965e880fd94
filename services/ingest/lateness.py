"""How late the samples of a source are, by what it answers of a step at first and later.

A step is asked for as soon as it has ended, and again for as long as a late sample may change it.
Where samples reach the source some seconds late, its first answer is too low in every step, and the
forecast reads no other. Known to this process alone, of the answers that it has seen anyway.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from services.ingest.series.known_series import SeriesRef
from services.ingest.series.samples import SECOND_US, to_us
from services.ingest.series.source import Points
from services.kernel.settings import Settings

N_STEPS, MIN_STEPS = 20, 10
"""Newest finished steps that are judged, and how many are needed."""
WHOLE = 0.97
"""Share of its later value that the first answer of a step has in the median, or more."""
_SETTLED_SHARE = 0.5
"""Share of the time in which a late sample may change a step, after which it is taken as final."""
_FIRST_WITHIN = 1.5
"""Pulls after the end of a step within which an answer is its first: others pull, too."""
_KEPT_US = 3600 * SECOND_US


@dataclass(frozen=True, slots=True)
class LoadAnswer:
    """What a source answered of a load.

    Attributes:
        ref: The load.
        end_at: End of the newest step that was asked for.
        points: Its values, each at the end of its step.
    """

    ref: SeriesRef
    end_at: datetime
    points: Points


@dataclass(slots=True)
class _Answers:
    """Answers of one query.

    Attributes:
        query: The query.
        newest_us: End of the newest step that was asked for.
        open: By the end of a step how long after it was asked for, and what it was then.
        shares: Of finished steps: the first answer over the last.
        low_s: How long after its end a step was still too low, at most.
        whole_s: And from when on it was not, at most.
    """

    query: str
    newest_us: int = 0
    open: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    shares: deque[float] = field(default_factory=lambda: deque(maxlen=N_STEPS))
    low_s: deque[float] = field(default_factory=lambda: deque(maxlen=N_STEPS))
    whole_s: deque[float] = field(default_factory=lambda: deque(maxlen=N_STEPS))


@dataclass(slots=True)
class SourceLateness:
    """What this process has seen of the loads that it pulls, by workload and indicator."""

    _answers: dict[int, dict[str, _Answers]] = field(default_factory=dict)

    def note(self, answers: Iterable[LoadAnswer], at: datetime, settings: Settings) -> None:
        """Note the answers of a pull at `at`; forget loads that are pulled no more."""
        now_us = to_us(at)
        for answer in answers:
            # of an instant reading a late sample only lacks in the mean of a step
            if answer.ref.indicator.is_gauge_load and "$step" in answer.ref.indicator.query:
                self._note(answer, now_us, settings)
        for id_, loads in list(self._answers.items()):
            if all(one.newest_us < now_us - _KEPT_US for one in loads.values()):
                del self._answers[id_]

    def _note(self, answer: LoadAnswer, now_us: int, settings: Settings) -> None:
        indicator, end_us = answer.ref.indicator, to_us(answer.end_at)
        loads = self._answers.setdefault(answer.ref.workload.id, {})
        own = loads.get(indicator.name)
        if own is None or own.query != indicator.query:
            own = loads[indicator.name] = _Answers(indicator.query)
        first_s = settings.source_late_s + _FIRST_WITHIN * settings.pull_interval_s
        if end_us > own.newest_us and now_us - end_us < first_s * SECOND_US:
            own.open[end_us] = []
        own.newest_us = max(own.newest_us, end_us)
        values = dict(zip(answer.points.at_us.tolist(), answer.points.value.tolist(), strict=True))
        for at_us, seen in own.open.items():
            seen.append((now_us - at_us, values.get(at_us, 0.0)))
        settled_us = _SETTLED_SHARE * settings.late_s * SECOND_US
        for at_us in [at_us for at_us in own.open if now_us - at_us >= settled_us]:
            _finish(own, own.open.pop(at_us))

    def of(self, workload_id: int) -> dict[str, str | None]:
        """Loads of which enough is known: None where the first answer is whole, else what to do."""
        return {
            name: _words(name, own)
            for name, own in self._answers.get(workload_id, {}).items()
            if len(own.shares) >= MIN_STEPS
        }


def _words(name: str, own: _Answers) -> str | None:
    """What is wrong with the first answers of a load, and what to do; None: nothing is."""
    share = float(np.median(own.shares))
    if share >= WHOLE:
        return None
    return (
        f"{name}: the newest step reads {share:.0%} of what the same step reads later (median of "
        f"{len(own.shares)} steps), since samples reach the source late; set "
        f"settings.source_late_s (HARMONY_SOURCE_LATE_S) to {math.ceil(max(own.whole_s))} "
        f"({math.floor(max(own.low_s))} is too little)"
    )


def _finish(own: _Answers, seen: list[tuple[int, float]]) -> None:
    """Keep what a step has shown: the share of its first answer, and when it was whole."""
    final = seen[-1][1]
    if not (math.isfinite(final) and final > 0):
        return
    low_us = max((age_us for age_us, value in seen if not value >= WHOLE * final), default=-1)
    whole_us = min(age_us for age_us, _ in seen if age_us > low_us)
    own.shares.append(seen[0][1] / final if math.isfinite(seen[0][1]) else 0.0)
    own.low_s.append(max(0, low_us) / SECOND_US)
    own.whole_s.append(whole_us / SECOND_US if low_us >= 0 else 0.0)
