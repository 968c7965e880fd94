"""A decision's why for a terminal: one headline, one sentence, then the figures; pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.admin.decisions.outcome_wording import means_words, violation_means
from services.admin.decisions.reason_wording import plain
from services.admin.decisions.schemas import ActionView, DecisionDetail
from services.admin.decisions.wording import BEST_RUNGS, Explanation, explain
from services.admin.rest.formats import ago, clock_time, duration, usd
from services.admin.workloads.schemas import WorkloadView
from services.admin.workloads.wording import faults, promise

_STYLES = {"up": "bold red", "down": "bold green", "hold": "bold"}
_GAP = "  "
RESULTS = {
    "applied": "applied",
    "unchanged": "nothing to change",
    "delegated": "left to a follower",
    "advisory": "advisory",
    "awaiting_approval": "waits for approval",
    "rejected": "rejected",
    "paused": "paused",
    "superseded": "superseded",
    "expired": "expired",
    "conflict": "conflict",
    "failed": "failed",
    "waiting": "waits for room",
    "unknown": "unknown",
    "target_missing": "target missing",
}


def render_decision(
    detail: DecisionDetail, workload: WorkloadView, now: datetime
) -> RenderableType:
    """Everything about one decision, the important first.

    Args:
        detail: The decision.
        workload: Its workload: for the units and the GPUs.
        now: Aware.
    """
    words = explain(detail)
    table = Table.grid(padding=(0, 2, 0, 2))
    table.add_column(style="dim", no_wrap=True, min_width=10)
    table.add_column(overflow="fold")
    for label, value in _rows(detail, workload, words, now):
        table.add_row(label, value)
    key = (Text(f"{words.key}."),) if words.key else ()
    return Group(_headline(detail, workload), *key, Text(words.sentence), table, Text(""))


def _headline(detail: DecisionDetail, workload: WorkloadView) -> Text:
    current, desired = detail.current_replicas, detail.desired_replicas
    changed = [part for part in detail.variants or () if part.current != part.desired]
    text = Text(f"{detail.namespace}/{detail.workload}: ", style="bold")
    if current == desired and not changed:
        text.append(f"stays at {current} replicas", _STYLES["hold"])
    else:
        text.append(f"{current} → {desired} replicas", _STYLES[detail.direction])
        if changed:
            each = (f"{part.name} {part.current} → {part.desired}" for part in changed)
            text.append(f" ({', '.join(each)})")
        gpus, money = _gpus(detail, workload), usd(detail.cost_delta_usd_per_h, is_signed=True)
        text.append(f"{'' if gpus is None else f', {gpus:+d} GPUs'}, {money} per hour")
    result = detail.action_result
    return text.append(
        f"  [{RESULTS.get(result, plain(result)) if result else 'not acted on yet'}]"
    )


def _gpus(detail: DecisionDetail, workload: WorkloadView) -> int | None:
    """GPUs that a decision adds; None: the workload no longer has one of its variants or pools."""
    if detail.variants is None:
        return (detail.desired_replicas - detail.current_replicas) * workload.gpus_per_replica
    sizes = {part.name: part.gpus_per_replica for part in workload.parts}
    if any(part.name not in sizes for part in detail.variants):
        return None
    return sum((part.desired - part.current) * sizes[part.name] for part in detail.variants)


def _rows(
    detail: DecisionDetail, workload: WorkloadView, words: Explanation, now: datetime
) -> Iterator[tuple[str, Text]]:
    yield "decision", Text(_when(detail, now))
    if detail.actions:
        yield "action", Text(_action(detail.actions[-1], now))
    if detail.binding_constraint:
        yield "bound by", Text(plain(detail.binding_constraint).lower())
    yield "risk", Text("\n".join(f"{label}: {value}" for label, value in words.risk))
    if words.misses:
        yield "expected", Text(words.misses)
    if words.loads:
        yield "loads", Text(words.loads)
    if words.is_budget_exhausted:
        yield "", Text("the SLA window's error budget is spent")
    yield "promise", Text("\n".join((promise(workload.risk), *faults(workload.risk))))
    yield "forecast", Text(_forecast(detail, workload, words))
    yield "guards", _guards(detail, words)
    if words.counterfactuals:
        yield "what if", Text("\n".join(_what_if(words, detail.raw_replicas)))
    if words.parts.lines:
        yield words.parts.title, Text("\n".join(words.parts.lines))
    if words.gpu_budget.sentences:
        yield (
            "GPU budget",
            Text("\n".join((*words.gpu_budget.sentences, *words.gpu_budget.gave_up))),
        )
    came = means_words(violation_means(detail.outcomes))
    if came:
        yield "came of it", Text(came)
    if words.cut_off:
        yield "violation", Text(words.cut_off, "bold red")


def _when(detail: DecisionDetail, now: datetime) -> str:
    left_s = (detail.valid_until - now).total_seconds()
    valid = f"valid for {duration(left_s)} more" if left_s > 0 else "no longer valid"
    made = f"{clock_time(detail.decided_at, now)} UTC ({ago(detail.decided_at, now)})"
    return f"{detail.id}, made {made}, {valid}"


def _action(action: ActionView, now: datetime) -> str:
    result = RESULTS.get(action.result, plain(action.result))
    attempt = f", attempt {action.attempt}" if action.attempt > 1 else ""
    return f"{result} {clock_time(action.applied_at, now)} UTC{attempt}: {action.reason}"


def _forecast(detail: DecisionDetail, workload: WorkloadView, words: Explanation) -> str:
    quantiles = _GAP.join(f"{name} {value}" for name, value in words.quantiles)
    figures = f"{quantiles} {workload.demand_unit or workload.demand_indicator}".strip()
    model = detail.model_version or "no model"
    if detail.rung in BEST_RUNGS:
        return f"{figures}\nby {model}"
    why = f": {detail.forecast_reason}" if detail.forecast_reason else ""
    return f"{figures}\nfallback rung {plain(detail.rung).lower()} answered{why}"


def _guards(detail: DecisionDetail, words: Explanation) -> Text:
    text = Text(f"wanted {detail.raw_replicas}, decided {detail.desired_replicas}")
    for guard in words.guards:
        if guard.is_active:
            why = f" ({guard.detail})" if guard.detail else ""
            text.append(f"\n{guard.label}: {guard.before} → {guard.after}{why}", "bold")
    n_quiet = sum(not guard.is_active for guard in words.guards)
    if n_quiet:
        others = "all guards" if n_quiet == len(words.guards) else _others(n_quiet)
        text.append(f"\n{others} changed nothing", "dim")
    return text


def _others(n: int) -> str:
    return "1 other guard" if n == 1 else f"{n} other guards"


def _what_if(words: Explanation, raw: int) -> Iterator[str]:
    for label, count, difference in words.counterfactuals:
        change = f"{difference:+d}" if difference else "the same"
        yield f"{label}: {count} ({change})"
