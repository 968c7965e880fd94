"""What must hold whatever strikes, by rows and by what was seen from outside. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.lab.bench.faults.bounds import ScaleChange, Violation
from services.lab.bench.faults.kinds import SETTLED_S, UNASKED
from services.lab.bench.faults.outside.repository import (
    OpenIntent,
    OriginCount,
    PassedOrigin,
    StoredAction,
)
from services.lab.bench.faults.outside.row_log import FailingWorkload, Settled
from services.lab.bench.faults.schedule import StruckFault

_MOST_TOLD = 20
_SEEN_LATE = timedelta(seconds=2)
"""What the watcher of the rows may be late by."""
UNRESOLVED_S = 30.0
"""Seconds without a fault after which an intent must have become an action."""


@dataclass(frozen=True, slots=True)
class OriginGrid:
    """Origins that must be there: a closed stretch of steps."""

    first: datetime
    last: datetime
    step_s: int

    def __iter__(self) -> Iterator[datetime]:
        """Each origin."""
        at = self.first
        while at <= self.last:
            yield at
            at += timedelta(seconds=self.step_s)


def check_origins(
    counts: Sequence[OriginCount],
    keys: Collection[str],
    grid: OriginGrid,
    passed: Collection[PassedOrigin] = (),
    struck: Sequence[StruckFault] = (),
) -> list[Violation]:
    """Each workload at each origin: one forecast of each model, one decision of each policy.

    One that was passed over, and of which that is recorded, is not lost; nor one of a time in which
    the workloads' objects were away, and the moments in which they come back.
    """
    unasked = _unasked(struck, grid.step_s)
    rows = {(one.key, one.origin_at): one for one in counts}
    found = []
    for key in sorted(keys):
        for at in grid:
            one = rows.get((key, at))
            where = f"{key} at origin {at:%H:%M:%S}"
            is_passed = PassedOrigin(key, at) in passed or any(a <= at <= b for a, b in unasked)
            if one is None:
                if not is_passed:
                    found.append(Violation("lost", f"{where}: no forecast"))
            elif one.n_decisions == 0 and not is_passed:
                found.append(Violation("lost", f"{where}: no decision"))
            if one is not None and max(one.n_forecasts, one.n_decisions) > 1:
                said = f"{one.n_forecasts} forecasts, {one.n_decisions} decisions"
                found.append(Violation("duplicated", f"{where}: {said}"))
    return found


def _unasked(struck: Sequence[StruckFault], step_s: int) -> list[tuple[datetime, datetime]]:
    """Origins that no workload asked for: from two steps before its object went to its return."""
    before, after = timedelta(seconds=2 * step_s), timedelta(seconds=SETTLED_S)
    return [
        (one.began_at - before, (one.ended_at or one.began_at) + after)
        for one in struck
        if one.planned.kind.name == UNASKED and one.began_at is not None
    ]


def check_turns(
    passed: Collection[PassedOrigin],
    gold: Collection[str],
    grid: OriginGrid,
    struck: Sequence[StruckFault],
) -> list[Violation]:
    """Gold is never passed over twice in a row while nothing is at fault."""
    step, settled = timedelta(seconds=grid.step_s), timedelta(seconds=SETTLED_S)
    found = []
    for key in sorted(gold):
        for at in grid:
            pair = PassedOrigin(key, at), PassedOrigin(key, at + step)
            quiet_s = _longest_quiet_s(at - settled, at + 2 * step, struck)
            is_quiet = quiet_s >= SETTLED_S + 2 * grid.step_s
            if is_quiet and all(one in passed for one in pair):
                where = f"{key} at origins {at:%H:%M:%S} and {at + step:%H:%M:%S}"
                found.append(Violation("lost", f"{where}: passed over twice, and nothing struck"))
    return found


def check_records(moves: Sequence[ScaleChange], records: Sequence[StoredAction]) -> list[Violation]:
    """Each scaling that was seen against those that were recorded, in their order.

    A record of unknown outcome, and an intent that is open, may be of a scaling or not.
    """
    seen: dict[str, list[ScaleChange]] = defaultdict(list)
    stored: dict[str, list[StoredAction]] = defaultdict(list)
    for move in moves:
        seen[move.key].append(move)
    for record in records:
        stored[record.key].append(record)
    found = []
    for key in sorted(seen.keys() | stored.keys()):
        pairs = _matched(seen[key], stored[key])
        found += [
            Violation(
                "unrecorded",
                f"{key} at {move.at:%H:%M:%S}: {move.before} to {move.after} has no record",
            )
            for i, move in enumerate(seen[key])
            if i not in pairs
        ]
        matched = set(pairs.values())
        found += [
            Violation(
                "duplicated",
                f"{key} at {record.at:%H:%M:%S}: decision {record.decision_id} is recorded as "
                f"applied, {record.from_replicas} to {record.to_replicas}, and nothing was seen",
            )
            for j, record in enumerate(stored[key])
            if j not in matched and record.result == "applied"
        ]
    return found


def _matched(moves: Sequence[ScaleChange], records: Sequence[StoredAction]) -> dict[int, int]:
    """The best common course of both: position of a move to position of its record.

    As many moves as possible have a record; of records that fit as well, one that is sure goes
    before one of unknown outcome.
    """
    n, m = len(moves), len(records)
    fits = [[_fit(move, record, n + 1) for record in records] for move in moves]
    best = [[0] * (m + 1) for _ in range(n + 1)]
    for i in range(n - 1, -1, -1):
        for j in range(m - 1, -1, -1):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], best[i + 1][j + 1] + fits[i][j])
    found: dict[int, int] = {}
    i = j = 0
    while i < n and j < m:
        if fits[i][j] and best[i][j] == best[i + 1][j + 1] + fits[i][j]:
            found[i] = j
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def _fit(move: ScaleChange, record: StoredAction, worth: int) -> int:
    """What it is worth that a record is of a move: `worth`, one more where it is sure, or 0."""
    if record.result == "unknown":  # what was found later: another may have scaled since
        return worth
    is_same = record.to_replicas == move.after and record.from_replicas == move.before
    return (worth + (record.result == "applied")) if is_same else 0


def check_order(backward: Sequence[StoredAction]) -> list[Violation]:
    """Scalings by a decision older than one applied before."""
    return [
        Violation(
            "duplicated",
            f"{one.key} at {one.at:%H:%M:%S}: decision {one.decision_id} was applied after a newer",
        )
        for one in backward
    ]


def check_intents(
    seen: Mapping[OpenIntent, tuple[datetime, datetime]], struck: Sequence[StruckFault]
) -> list[Violation]:
    """Intents that stayed open through a stretch without any fault."""
    found = []
    for intent, (first, last) in seen.items():
        quiet_s = _longest_quiet_s(first, last, struck)
        if quiet_s > UNRESOLVED_S:
            text = f"{intent.key}: intent of decision {intent.decision_id} open for {quiet_s:.0f} s"
            found.append(Violation("unrecorded", text))
    return found


def _longest_quiet_s(first: datetime, last: datetime, struck: Sequence[StruckFault]) -> float:
    """Longest stretch within a time in which no fault is in force, in seconds."""
    spans = sorted(
        (one.began_at, one.ended_at or last) for one in struck if one.began_at is not None
    )
    longest, free_from = 0.0, first
    for began, ended in spans:
        longest = max(longest, (min(began, last) - free_from).total_seconds())
        free_from = max(free_from, ended)
    return max(longest, (last - free_from).total_seconds())


def check_samples(
    accepted: Mapping[str, Collection[int]], stored: Mapping[str, Collection[int]]
) -> list[Violation]:
    """Samples that were answered 202 and are not there."""
    found = []
    for key in sorted(accepted):
        missing = sorted(set(accepted[key]) - set(stored.get(key, ())))
        if missing:
            text = f"{key}: {len(missing)} accepted samples are gone, the first of {missing[0]}"
            found.append(Violation("samples_lost", text))
    return found


def check_answers(sender: Sequence[str], caller: Sequence[str]) -> list[Violation]:
    """Answers that are neither a success nor 503 with `Retry-After`."""
    told = [f"push: {text}" for text in sender] + [f"API: {text}" for text in caller]
    return [Violation("wrong_answers", text) for text in told]


def check_blast(
    failing: Mapping[FailingWorkload, datetime], victim: str, struck: Sequence[StruckFault] = ()
) -> list[Violation]:
    """Workloads beside the victim that a stage could not handle with the others.

    What is set apart while an upgrade is in force may be set apart by the old code, which nobody
    can mend any more; it does not count.
    """
    upgrades = [
        (one.began_at, one.ended_at + _SEEN_LATE)
        for one in struck
        if one.planned.kind.act == "upgrade" and one.began_at and one.ended_at
    ]
    first: dict[str, Violation] = {}
    for one, at in sorted(failing.items(), key=lambda item: (item[0].key, item[1])):
        if one.key != victim and not any(began <= at <= ended for began, ended in upgrades):
            text = f"{one.key} at {at:%H:%M:%S}: {one.why}"
            first.setdefault(one.key, Violation("blast_radius", text))
    return list(first.values())


def recovery_s(
    struck: Sequence[StruckFault], log: Sequence[Settled], keys: Collection[str], step_s: int
) -> dict[int, float]:
    """Seconds from the end of each fault to an action of all for a newer origin, beyond one step.

    They stand under the number of the fault. Newer is the origin whose step was open at the end of
    the fault. One that never came counts as infinite.
    """
    found: dict[int, float] = {}
    for number, one in enumerate(struck):
        if one.ended_at is None:
            continue
        wanted = one.ended_at - timedelta(seconds=one.ended_at.timestamp() % step_s)
        # a hair of slack: what remains of a division of times is not exact
        wanted -= timedelta(milliseconds=1)
        at = next((look.at for look in log if _is_settled(look, one.ended_at, wanted, keys)), None)
        late_s = float("inf") if at is None else (at - one.ended_at).total_seconds() - step_s
        found[number] = max(0.0, late_s)
    return found


def _is_settled(look: Settled, after: datetime, wanted: datetime, keys: Collection[str]) -> bool:
    return look.at >= after and all(
        key in look.origins and look.origins[key] >= wanted for key in keys
    )


def told(violations: Sequence[Violation]) -> list[str]:
    """Lines for people: the first of each invariant, and how many more there are."""
    by_invariant: dict[str, list[str]] = defaultdict(list)
    for one in violations:
        by_invariant[one.invariant].append(one.text)
    lines = []
    for invariant, texts in by_invariant.items():
        lines += [f"{invariant}: {text}" for text in texts[:_MOST_TOLD]]
        if len(texts) > _MOST_TOLD:
            lines.append(f"{invariant}: {len(texts) - _MOST_TOLD} more")
    return lines
