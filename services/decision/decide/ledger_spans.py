"""Which time the steps of each ledger lie in, so that it forgets by time; pure.

A promise is about a window of time. Steps of which nothing is known, and those that nobody counted
as no decision was made, are in no ledger, but they pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from decider import LedgerSpan, forget_believed, forget_measured, window_steps
from services.decision.decide.ledgers import Finality, SettledStep
from services.decision.decide.outcomes import LOOKBACK_STEPS
from services.decision.rows import translate
from services.decision.rows.inputs import ShardRows
from services.decision.rows.members import ShardMember
from services.decision.rows.sli_series import SliGrid
from services.decision.rows.translate import EndLedgers

BELIEVED, MEASURED, ENDS = "believed", "measured", "ends"
_KNOWN = {BELIEVED: "observed_steps", MEASURED: "measured_steps", ENDS: "low_steps"}
_BOUNDS = ("since_s", "until_s")


def to_spans(
    state: Mapping[str, Any], member: ShardMember, origin_s: float
) -> dict[str, LedgerSpan]:
    """The time of each ledger that ever counted a step.

    Where it was not stored, as by earlier releases, or lies ahead, as after a wrong clock, the
    steps are taken to be the last ones.

    Args:
        state: What is stored, in the terms of now.
        member: The workload.
        origin_s: Start of the newest finished step, epoch seconds.
    """
    unit = translate.measured_unit(member.spec)
    is_same = state.get("measured_unit", unit) == unit
    found, ahead_s = {}, origin_s + (LOOKBACK_STEPS + 1) * member.step_s
    for name, known in _KNOWN.items():
        if name != BELIEVED and not is_same:
            continue
        since_s, until_s = (state.get(f"{name}_{bound}") for bound in _BOUNDS)
        n_steps = float(state.get(known) or 0.0)
        if since_s is not None and until_s is not None and until_s <= ahead_s:
            found[name] = LedgerSpan(float(since_s), float(until_s))
        elif n_steps > 0:
            found[name] = LedgerSpan(origin_s - n_steps * member.step_s, origin_s)
    return found


def from_spans(spans: Mapping[str, LedgerSpan]) -> dict[str, float]:
    """What is stored of them."""
    return {
        f"{name}_{bound}": value
        for name, span in spans.items()
        for bound, value in zip(_BOUNDS, (span.since_s, span.until_s), strict=True)
    }


def newest_ends(grid: SliGrid, finality: Finality) -> dict[str, float]:
    """Up to when each ledger counts: the end of the newest step, and of the newest final one."""
    newest_s = float(grid.starts_s[-1])
    ends = {BELIEVED: newest_s + grid.step_s}
    starts_s = reversed(grid.starts_s.tolist())
    final_s = next((s for s in starts_s if finality.is_passed(s, grid.step_s)), None)
    if final_s is not None:
        ends |= dict.fromkeys((MEASURED, ENDS), final_s + grid.step_s)
    return ends


def forget(member: ShardMember, rows: ShardRows, until: Mapping[str, float]) -> ShardRows:
    """The rows without what of a workload's ledgers is longer ago than its window.

    Args:
        member: The workload.
        rows: The shard's rows.
        until: End of the window of each ledger.
    """
    key, step_s = member.id, float(member.step_s)
    spans, state, ends = dict(rows.spans.get(key, {})), rows.risk.get(key), rows.ends.get(key)
    window_s = window_steps(translate.to_sla_of_steps(member.spec, step_s), step_s) * step_s
    for name, until_s in until.items():
        if name not in spans:
            continue
        kept = spans[name].kept_since(until_s - window_s)
        spans[name] = spans[name].since(until_s - window_s)
        if name == BELIEVED and state is not None:
            state = forget_believed(state, kept)
        elif name == MEASURED and state is not None:
            state = forget_measured(state, kept)
        elif name == ENDS and ends is not None:
            ends = EndLedgers(*(forget_measured(end, kept) for end in (ends.low, ends.high)))
    return replace(
        rows,
        spans={**rows.spans, key: spans},
        risk=rows.risk if state is None else {**rows.risk, key: state},
        ends=rows.ends if ends is None else {**rows.ends, key: ends},
    )


def with_steps(
    spans: Mapping[str, LedgerSpan], steps: Sequence[SettledStep], step_s: float
) -> dict[str, LedgerSpan]:
    """The time of each ledger after steps that were settled.

    Args:
        spans: The time before.
        steps: The steps.
        step_s: Their length.
    """
    found = dict(spans)
    for step in steps:
        is_counted = {BELIEVED: step.is_new and step.believed_ratio is not None}
        is_counted |= dict.fromkeys((MEASURED, ENDS), step.is_final and step.sli is not None)
        for name, counts in is_counted.items():
            if counts:
                end_s = step.start_s + step_s
                span = found.get(name, LedgerSpan(step.start_s, end_s))
                found[name] = span.with_step(step.start_s, end_s)
    return found
