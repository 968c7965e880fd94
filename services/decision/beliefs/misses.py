"""Responses believed at a decision: stored draws, reweighted by the steps since they were learned.

A workload without a fit learns from its own steps, a few workloads in each run; what they learned
is stored, so that later runs only reweight it. A decision stores the draws that it used: a replay
needs none of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from decider import FloatArray, MissDraws, MissUpdate, learn_misses
from services.decision.beliefs import repository
from services.decision.beliefs.groups import MeasuredGroup, known_groups, scope_of
from services.decision.beliefs.miss_data import MISSES, MissSteps, learned_for, summary_of
from services.decision.beliefs.miss_steps import StepSpan, load_steps
from services.decision.beliefs.miss_view import N_STORED, PARTICLES, MissView, draws_of, prior_of
from services.decision.beliefs.ready_mix import n_worths, stated_mix
from services.decision.beliefs.refit import RefitRequest, request_refit
from services.decision.rows.members import ShardMember
from services.decision.rows.responses import LearnedResponse
from services.decision.rows.translate import from_draws
from services.kernel.db.session import UnitOfWork
from services.kernel.domain.measured_by import is_learned_for
from services.kernel.settings import Settings
from services.kernel.telemetry import get_logger

EVIDENCE = timedelta(days=2)
"""How far back steps count."""
MAX_STEPS, MAX_STEPS_SINCE = 1440, 720
"""Newest steps that are read: to learn from, and to reweight by."""
MAX_LEARNED = 4
"""Workloads that learn in one run: about 0.05 s each."""


def believed_responses(
    work: UnitOfWork, settings: Settings, members: Mapping[int, ShardMember], origin_at: datetime
) -> dict[int, LearnedResponse]:
    """What load does to the requests of the workloads with an objective that have shown it.

    Asks for a refit, at most once per `refit_min_interval_s` and shard, when too few of a
    response's draws agree with the steps since.

    Args:
        work: The transaction; what was learned anew is stored with it.
        settings: Settings.
        members: The shard's workloads.
        origin_at: The origin that is decided for.
    """
    views = _views(work, members, origin_at)
    chosen = sorted((v for v in views if v.wants_to_learn()), key=MissView.age)[:MAX_LEARNED]
    learned = _learn(work, chosen, origin_at)
    outdated = [view.member.key for view in views if view.needs_refit]
    if outdated:
        longest_s = max(m.step_s for m in members.values())
        asked = RefitRequest("response_needs_refit", outdated, longest_s)
        request_refit(work, settings, asked, origin_at)
    return _responses(views, learned)


def stored_responses(
    work: UnitOfWork, members: Mapping[int, ShardMember], origin_at: datetime
) -> dict[int, LearnedResponse]:
    """`believed_responses` for who only looks: nothing is learned, stored or asked for.

    Args:
        work: The transaction.
        members: The workloads.
        origin_at: Steps before it count.
    """
    return _responses(_views(work, members, origin_at), {})


def _responses(
    views: Sequence[MissView], learned: Mapping[int, MissDraws]
) -> dict[int, LearnedResponse]:
    """By workload what was learned now, else what is stored."""
    believed = {}
    for view in views:
        draws = learned.get(view.member.id, view.draws)
        response = None if draws is None else _to_response(view, draws)
        if response is not None:
            is_borrowed = view.stored is None and view.member.id not in learned
            believed[view.member.id] = replace(response, is_borrowed=is_borrowed)
    return believed


def _views(
    work: UnitOfWork, members: Mapping[int, ShardMember], origin_at: datetime
) -> list[MissView]:
    """Those with an objective, their stored draws reweighted; one that fails has none."""
    measured = {key: m for key, m in members.items() if m.spec.sla.objective is not None}
    if not measured:
        return []
    scopes = {f"workload:{key}" for key in measured} | {scope_of(m) for m in measured.values()}
    rows = {
        row["scope"]: row
        for row in repository.load_posteriors(work.connection, MISSES, sorted(scopes))
    }
    groups = known_groups(measured.values(), rows)
    views = []
    for key, member in measured.items():
        row = rows.get(f"workload:{key}")
        is_valid = row is not None and is_learned_for(row["summary"], learned_for(member))
        views.append(MissView(member, row if is_valid else None, group=groups.get(key)))
    first = {v.member.id: _first_at(v.stored, origin_at) for v in views}
    span = StepSpan(first, origin_at, MAX_STEPS_SINCE)
    since = load_steps(work.connection, [v.member for v in views], span)
    mixes = _mixes_now(work, [v.member for v in views], origin_at)
    for view in views:
        spec = view.member.spec
        none = MissSteps.none(len(spec.further_loads), n_worths(spec))
        view.since = since.get(view.member.id, none)
        view.mix = mixes.get(view.member.id)
        try:
            view.reweight()
        except (ValueError, ArithmeticError) as error:
            tell_refused(view.member, error)
            view.stored = None
    return views


def _mixes_now(
    work: UnitOfWork, members: Sequence[ShardMember], origin_at: datetime
) -> dict[int, FloatArray]:
    """(V,) mixes asked for of the workloads with variants; where none was seen the first alone."""
    specs = {m.id: m.spec for m in members if m.spec.variants}
    last = origin_at + timedelta(seconds=max((m.step_s for m in members), default=0))
    seen = repository.load_newest_counts(work.connection, list(specs), last)
    found = {}
    for key, spec in specs.items():
        known = seen.get(key, {})
        counts = [float(known.get(v.name, {}).get("spec", 0)) for v in spec.variants]
        found[key] = stated_mix(spec, np.array(counts))
    return found


def _first_at(stored: RowMapping | None, origin_at: datetime) -> datetime:
    if stored is None:
        return origin_at - EVIDENCE
    until = datetime.fromtimestamp(float(stored["summary"]["data_until_s"]), UTC)
    return max(until, origin_at - EVIDENCE)


def _learn(
    work: UnitOfWork, chosen: Sequence[MissView], origin_at: datetime
) -> dict[int, MissDraws]:
    """Responses of the chosen workloads from all their steps, stored."""
    first = {view.member.id: origin_at - EVIDENCE for view in chosen}
    if not first:
        return {}
    span = StepSpan(first, origin_at, MAX_STEPS)
    members = [view.member for view in chosen]
    steps = load_steps(work.connection, members, span, is_remeasured=True)
    learned = {}
    for view in chosen:
        member, seen = view.member, steps[view.member.id]
        try:
            update = learned_alone(member, seen, view.group)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            tell_refused(member, error)
            continue
        view.needs_refit = update.needs_refit or (view.needs_refit and not view.is_own())
        row = learned_row(member, update, seen, origin_at + timedelta(seconds=member.step_s))
        repository.replace_particles(work.connection, row)
        learned[member.id] = draws_of(row)
    return learned


def learned_alone(
    member: ShardMember, steps: MissSteps, group: MeasuredGroup | None = None
) -> MissUpdate:
    """A workload's response from its own steps, its stated capacity, and what its group says."""
    prior = prior_of(member, group, tuple(steps.full_uses(member).values()))
    return learn_misses(prior, steps.load, steps.missed, steps.total, N_STORED, steps.mix)


def learned_row(
    member: ShardMember, update: MissUpdate, steps: MissSteps, learned_at: datetime
) -> dict[str, Any]:
    """The row of `posteriors` of a response that a workload's own steps have taught.

    Args:
        member: The workload.
        update: The response.
        steps: What it was learned from.
        learned_at: When.
    """
    return {
        "kind": MISSES,
        "scope": f"workload:{member.id}",
        "status": "promoted",
        "reason": "",
        "n_observations": steps.size,
        "summary": summary_of(update.draws, member, steps) | {"method": PARTICLES},
        "diagnostics": {"effective_ratio": float(f"{update.effective_ratio:.4g}")},
        "draws": from_draws(update.draws.to_array().ravel()),
        "fitted_at": learned_at,
    }


def _to_response(view: MissView, draws: MissDraws) -> LearnedResponse | None:
    try:
        made = LearnedResponse.of(draws, view.member.spec, view.requests_per_step(), view.mix)
        return replace(made, is_first=view.stored is None, carried=view.carried())
    except (ValueError, ArithmeticError) as error:
        tell_refused(view.member, error)
        return None


def tell_refused(member: ShardMember, error: Exception) -> None:
    """One workload's bad draws or counts harm no other."""
    get_logger(__name__).warning("response_refused", workload=member.key, error=str(error))
