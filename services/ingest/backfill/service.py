"""Use case: fill the past of a workload in from what its owner has of it.

What was measured is never replaced unasked: a stored value stays, and the answer counts those that
differ. So the same history may be sent again, and a running workload's history be completed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from services.ingest.backfill.schemas import HistoryAnswer
from services.ingest.deps import IngestDeps
from services.ingest.push.schemas import RejectedSamples
from services.ingest.push.service import measure
from services.ingest.series import repository
from services.ingest.series.catalog import WorkloadName, WorkloadRef
from services.ingest.series.due import judged_within_s
from services.ingest.series.plausible import plausible_rule
from services.ingest.series.samples import (
    ANCIENT,
    FUTURE,
    IMPLAUSIBLE,
    NEGATIVE,
    NOT_FINITE,
    OUT_OF_RANGE,
    SECOND_US,
    Bounds,
    Mask,
    Rejections,
    Samples,
    from_us,
    screen,
    show_us,
    to_us,
)
from services.ingest.series.translate import ParsedPush, describe_time
from services.kernel.clock import floor_step
from services.kernel.db.session import unit_of_work
from services.kernel.db.steps.blocks import SEEN, StepBlock
from services.kernel.db.steps.reading import SeriesName, Span, load_seen
from services.kernel.db.steps.writing import write_steps
from services.kernel.errors import InvalidInput, NotFound
from services.kernel.jobs import CALIBRATE_PRIOR, LEARN_HISTORY, Job

SOURCE = "history"


@dataclass(slots=True)
class _Counts:
    """Values of steps by what became of them."""

    written: int = 0
    unchanged: int = 0
    differing: int = 0
    example: str | None = None


def fill(
    deps: IngestDeps, name: WorkloadName, parsed: ParsedPush, *, replaces: bool = False
) -> HistoryAnswer:
    """Store the history of one workload; a step's value is the mean of its samples.

    Args:
        deps: Dependencies.
        name: The workload.
        parsed: Samples of its indicators and of its objective's counts, of counters their rates.
        replaces: What is stored already gives way to what is sent.

    Raises:
        NotFound: There is no such workload, or it was removed.
        InvalidInput: An indicator is none of its spec, or there is no sample that can be used.
    """
    rejections = parsed.rejections.copy()
    with unit_of_work(deps.engine, deps.sender) as work:
        ref = _workload(work.connection, deps, name)
        is_counted, measured = _check_names(ref, parsed), ref.names(is_sli=False)
        parsed.check_any("body")
        samples = _screened(deps, ref, parsed, rejections)
        if not len(samples):
            first = rejections.as_tuple()[0]
            raise InvalidInput(
                f"none of {rejections.n_rejected} samples can be used: {first.reason}, e.g. "
                f"{first.example}"
            )
        block = _to_block(ref, parsed, samples)
        counts = _compared(work.connection, ref, block)
        write_steps(work.connection, [block], replaces=replaces)
        if counts.written and any(n.indicator in measured for n in parsed.names):
            work.send_after_commit(Job(CALIBRATE_PRIOR))
        if is_counted:
            work.send_after_commit(Job(LEARN_HISTORY, {"shard": ref.shard}))
    measure(SOURCE, len(samples), rejections)
    return _answer(len(samples), block, counts, rejections, replaces=replaces)


def _workload(connection: Connection, deps: IngestDeps, name: WorkloadName) -> WorkloadRef:
    found = repository.find_workloads(connection, [name], deps.catalog).get(name)
    if found is None:
        raise NotFound(f"workload {name.namespace}/{name.name} does not exist; make it first")
    return found


def _check_names(ref: WorkloadRef, parsed: ParsedPush) -> bool:
    """Whether counts of its objective are among them."""
    counts = ref.names(is_sli=True)
    allowed = [*ref.names(is_sli=False), *counts]
    unknown = [name.indicator for name in parsed.names if name.indicator not in allowed]
    if unknown:
        raise InvalidInput(
            f"indicator {unknown[0]!r} is none of {ref.namespace}/{ref.name}; it must be one of "
            f"{', '.join(allowed)}"
        )
    return any(name.indicator in counts for name in parsed.names)


def _screened(
    deps: IngestDeps, ref: WorkloadRef, parsed: ParsedPush, rejections: Rejections
) -> Samples:
    """The usable samples; the others are counted."""
    now, settings = deps.clock.now(), deps.settings
    of = [ref.indicators[name.indicator] for name in parsed.names]
    oldest_at = now - timedelta(days=settings.retain_indicators_days)
    ends_us = to_us(floor_step(now, ref.step_s))
    open_s = judged_within_s(settings.late_s, ref.step_s)
    is_sli = np.array([one.is_sli for one in of], dtype=bool)
    bounds = Bounds(
        oldest_us=np.full(len(of), to_us(oldest_at), dtype=np.int64),
        newest_us=np.where(is_sli, ends_us - round(open_s * SECOND_US), ends_us) - 1,
        is_signed=np.array([one.is_signed for one in of], dtype=bool),
        largest=np.array([one.largest_step for one in of], dtype=np.float64),
    )
    usable, refused = screen(parsed.samples, bounds)
    for reason, positions in refused.items():
        found = parsed.samples.where(positions)
        number, at_us = int(found.series[0]), int(found.at_us[0])
        rules = {
            NOT_FINITE: "is not finite; leave the sample out",
            OUT_OF_RANGE: "is larger than anything measured",
            NEGATIVE: "is negative, and its unit cannot be; leave the sample out",
            IMPLAUSIBLE: plausible_rule(of[number].largest_step),
            FUTURE: _too_new(open_s, is_sli=of[number].is_sli) + describe_time(at_us),
            ANCIENT: f"is older than what is kept, "
            f"retain_indicators_days={settings.retain_indicators_days:g}{_before(at_us)}",
        }
        shown = f"{parsed.names[number]} at {show_us(at_us)}: {found.value[0]:g}"
        rejections.add(reason, len(found), f"{shown} {rules[reason]}")
    return usable


def _too_new(open_s: float, *, is_sli: bool) -> str:
    if is_sli:
        return (
            "lies in a step that may still be judged: counts of an objective are taken of steps "
            f"that ended {open_s:g} s ago or earlier, newer ones are pushed as they are measured"
        )
    return "lies in a step that has not ended: push it to /v1/observations"


def _before(at_us: int) -> str:
    """A hint for a time near the epoch."""
    is_near = 0 <= at_us < 366 * 86_400 * SECOND_US
    return " (a time in seconds since 1970 is ten digits long)" if is_near else ""


def _to_block(ref: WorkloadRef, parsed: ParsedPush, samples: Samples) -> StepBlock:
    """Means of the samples of each step; of a step without one nothing is stored."""
    names = tuple(ref.indicators)
    place_of = np.array([names.index(name.indicator) for name in parsed.names], dtype=np.int64)
    step_us = ref.step_s * SECOND_US
    starts_us, row = np.unique(samples.at_us // step_us * step_us, return_inverse=True)
    shape = (len(starts_us), len(names))
    cell = row * len(names) + place_of[samples.series]
    n_samples = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    total = np.bincount(cell, samples.value, minlength=shape[0] * shape[1]).reshape(shape)
    is_given = n_samples > 0
    values = np.full(shape, np.nan, dtype=np.float32)
    values[is_given] = total[is_given] / n_samples[is_given]
    states = np.where(is_given, np.uint8(SEEN), np.uint8(0))
    ids = np.full(len(starts_us), ref.id, dtype=np.int64)
    return StepBlock(names, ids, starts_us, values, states)


def _compared(connection: Connection, ref: WorkloadRef, block: StepBlock) -> _Counts:
    """How the values stand to what is stored, before they are written."""
    span = Span(from_us(block.at_us[0]), from_us(block.at_us[-1]))
    given = block.is_seen
    names = [name for place, name in enumerate(block.names) if given[:, place].any()]
    stored = load_seen(connection, [SeriesName(ref.id, name) for name in names], [span])
    counts = _Counts()
    for name in names:
        place = block.names.index(name)
        rows = np.flatnonzero(given[:, place])
        steps = stored.get(SeriesName(ref.id, name))
        if steps is None:
            counts.written += len(rows)
            continue
        is_there, old = _looked_up(steps.at_us, steps.values, block.at_us[rows])
        differs = is_there & (old != block.values[rows, place])
        counts.written += int((~is_there).sum())
        counts.unchanged += int((is_there & ~differs).sum())
        counts.differing += int(differs.sum())
        if differs.any() and counts.example is None:
            first = int(np.flatnonzero(differs)[0])
            at = from_us(block.at_us[rows[first]]).isoformat()
            sent = block.values[rows[first], place]
            counts.example = f"{name} at {at}: {old[first]:g} is stored, {sent:g} was sent"
    return counts


def _looked_up(
    at_us: NDArray[np.int64], values: NDArray[np.float32], wanted_us: NDArray[np.int64]
) -> tuple[Mask, NDArray[np.float32]]:
    """Which times are among `at_us`, which are in order, and the values there."""
    place = np.minimum(np.searchsorted(at_us, wanted_us), len(at_us) - 1)
    is_there: Mask = at_us[place] == wanted_us
    return is_there, values[place]


def _answer(
    n_accepted: int, block: StepBlock, counts: _Counts, rejections: Rejections, *, replaces: bool
) -> HistoryAnswer:
    kept = 0 if replaces else counts.differing
    hint = "; with ?replace=true what was sent takes its place"
    return HistoryAnswer(
        accepted=n_accepted,
        first_step_at=_step_at(block, 0),
        last_step_at=_step_at(block, -1),
        written=counts.written,
        unchanged=counts.unchanged,
        replaced=counts.differing - kept,
        kept=kept,
        kept_example=f"{counts.example}{hint}" if kept else None,
        rejected=[
            RejectedSamples(reason=one.reason, count=one.count, example=one.example)
            for one in rejections.as_tuple()
        ],
    )


def _step_at(block: StepBlock, number: int) -> datetime | None:
    return from_us(block.at_us[number]) if len(block.at_us) else None
