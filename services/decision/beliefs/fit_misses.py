"""Refit of responses on the `fit` queue: misses in, responses out, pooled by group, gated.

Imports PyMC: load it on the fit queue only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np

from decider import (
    MISS_SAMPLER,
    FloatArray,
    MissData,
    MissDraws,
    MissFits,
    MissPosterior,
    SamplerConfig,
    restated_capacity,
)
from services.decision.beliefs import repository
from services.decision.beliefs.fit_lead_time import FitStamp
from services.decision.beliefs.groups import (
    MIN_GROUP,
    group_key,
    relative_draws,
    scope_of,
    store_laws,
    summary_of_group,
)
from services.decision.beliefs.history import (
    MAX_STEPS,
    SINCE,
    load_history,
    tells_by_history,
    with_history,
)
from services.decision.beliefs.miss_data import (
    MISSES,
    MissSteps,
    lack_of_steps,
    summary_of,
)
from services.decision.beliefs.miss_steps import StepSpan, load_steps
from services.decision.beliefs.miss_view import N_STORED, SAMPLED
from services.decision.beliefs.ready_mix import n_worths
from services.decision.rows.loads import stated_capacity
from services.decision.rows.members import ShardMember, readable_members
from services.decision.rows.responses import LearnedResponse, tolerated_share
from services.decision.wiring import DecisionDeps
from services.kernel.clock import make_rng
from services.kernel.db.session import unit_of_work

MAX_WORKLOADS = 24
"""Workloads that are fitted together: about half a minute."""
_FITS = MissFits()
"""A worker lives for days: a batch of the shape of one before is not compiled again."""


@dataclass(frozen=True, slots=True)
class MissFitReport:
    """Result of a refit.

    Attributes:
        promoted: Scopes with a new posterior in use.
        refused: Scope to why it has none; where there was one, that one stays.
    """

    promoted: tuple[str, ...]
    refused: Mapping[str, str]


def fit_responses(
    deps: DecisionDeps, sampler: SamplerConfig = MISS_SAMPLER, after: datetime | None = None
) -> MissFitReport:
    """Refit the response of every workload whose objective is measured.

    A workload with too few steps is not fitted; a posterior that has not mixed is stored as
    rejected. In each case the reason is reported and what was in use stays. Those that are fitted
    together are stored together: a fit that was killed goes on with the others.

    Args:
        deps: What the use case needs.
        sampler: How the posterior is sampled.
        after: Who was fitted after it, together with all that could be, is left as it is; None: all
            are fitted.
    """
    with deps.engine.connect() as connection:
        now = deps.now(connection)
        found, unread = readable_members(repository.load_measured_workloads(connection))
        fresh = set() if after is None else repository.load_fitted_scopes(connection, after)
    refused = {f"workload:{key}": reason for key, reason in unread.items()}
    promoted: list[str] = []
    sampling = Sampling(sampler, _FITS)
    for number, batch in enumerate(_batches(found)):
        due = [m for m in batch if _scope(m) not in fresh]
        reasons = _reasons(due, _load(deps, due, now)) if due else {}
        refused |= {_scope(m): reasons[m.id] for m in due if reasons[m.id]}
        if all(reasons[m.id] for m in due):
            continue
        rng = make_rng(deps.settings.seed, f"misses/{number}", now.isoformat())
        rows = _fit_batch(deps, batch, sampling, FitMoment(now, int(rng.integers(2**31))))
        refused |= {row["scope"]: row["reason"] for row in rows if row["reason"]}
        promoted += [row["scope"] for row in rows if not row["reason"]]
    return MissFitReport(tuple(promoted), refused)


def _scope(member: ShardMember) -> str:
    return f"workload:{member.id}"


def _reasons(members: Sequence[ShardMember], steps: Mapping[int, MissSteps]) -> dict[int, str]:
    """Why a workload cannot be fitted, by id; empty: it can."""
    return {m.id: lack_of_steps(m, steps.get(m.id)) for m in members}


def _fit_batch(
    deps: DecisionDeps, batch: Sequence[ShardMember], sampling: Sampling, moment: FitMoment
) -> list[dict[str, Any]]:
    """Fit those of a batch that can be, and store what came of it."""
    steps = _load(deps, batch, moment.now)
    reasons = _reasons(batch, steps)
    rows, of_groups = _fit([m for m in batch if not reasons[m.id]], steps, sampling, moment)
    with unit_of_work(deps.engine) as work:
        for row in rows:
            repository.store_posterior(work.connection, row)
        same_fit = timedelta(seconds=deps.settings.fit_interval_s) / 2
        store_laws(work.connection, of_groups, moment.now - same_fit)
    return rows


@dataclass(frozen=True, slots=True)
class Sampling:
    """How posteriors are sampled, and the models that were compiled before."""

    config: SamplerConfig
    fits: MissFits


@dataclass(frozen=True, slots=True)
class FitMoment:
    """Time of a fit, and the seed of its chains."""

    now: datetime
    seed: int


def _batches(members: Sequence[ShardMember]) -> Iterable[list[ShardMember]]:
    """Members of a group side by side, as many at a time as one fit can hold.

    Those of one fit have as many further loads as each other, and as many variants.
    """
    ordered = sorted(members, key=lambda m: (*_shape(m), group_key(m), m.id))
    for _, alike in groupby(ordered, key=_shape):
        batch = list(alike)
        for first in range(0, len(batch), MAX_WORKLOADS):
            yield batch[first : first + MAX_WORKLOADS]


def _shape(member: ShardMember) -> tuple[int, int]:
    return len(member.spec.further_loads), len(member.spec.variants)


def _load(
    deps: DecisionDeps, members: Sequence[ShardMember], now: datetime
) -> dict[int, MissSteps]:
    """Newest steps of each, before the choice across loads; those of its history among them."""
    first = {m.id: now - SINCE for m in members}
    with deps.engine.connect() as connection:
        since = load_steps(connection, members, StepSpan(first, now, MAX_STEPS), is_remeasured=True)
        past = load_history(connection, [m for m in members if tells_by_history(m)], now)
    found = {m.id: with_history(since.get(m.id), past.get(m.id)) for m in members}
    return {key: steps for key, steps in found.items() if steps is not None}


def _fit(
    members: Sequence[ShardMember],
    steps: Mapping[int, MissSteps],
    sampling: Sampling,
    moment: FitMoment,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of `posteriors` of one fit: of each workload, and of the groups that they make."""
    data = miss_data(members, steps)
    posterior, diagnostics = sampling.fits.fit(data, sampling.config, moment.seed)
    made = []
    for row, member in enumerate(members):
        stamp = FitStamp(diagnostics, steps[member.id].size, moment.now)
        made.append(_row(member, _stored_draws(posterior, row), steps[member.id], stamp))
    of_all = FitStamp(diagnostics, data.load.shape[0], moment.now)
    return made, _group_rows(members, posterior, data, of_all)


def _group_rows(
    members: Sequence[ShardMember], posterior: MissPosterior, data: MissData, stamp: FitStamp
) -> list[dict[str, Any]]:
    """What each group of enough workloads says of one more of it."""
    found = []
    for number in range(data.n_groups):
        own = np.flatnonzero(data.group == number)
        if own.size < MIN_GROUP:
            continue
        one, law = members[own[0]], posterior.group_law(number)
        about = summary_of_group(one, law, own.size)
        fault = stamp.diagnostics.fault()
        found.append(stamp.row(MISSES, scope_of(one), relative_draws(law), about, fault))
    return found


def miss_data(members: Sequence[ShardMember], steps: Mapping[int, MissSteps]) -> MissData:
    """The model's data: of each workload the steps across its loads."""
    chosen = [steps[m.id].across_loads() for m in members]
    keys = sorted({group_key(m) for m in members})
    seen = [list(steps[m.id].full_uses(m).values()) for m in members]
    stated = [
        restated_capacity(s, stated_capacity(m.spec)) for s, m in zip(seen, members, strict=True)
    ]

    def joined(name: str) -> FloatArray:
        return np.concatenate([getattr(one, name) for one in chosen])

    return MissData(
        missed=joined("missed"),
        total=joined("total"),
        load=joined("load"),
        workload=np.repeat(np.arange(len(members)), [one.size for one in chosen]),
        prior_capacity=np.array([one[0] for one in stated]),
        prior_cv=np.array([m.spec.capacity.cv for m in members]),
        group=np.array([keys.index(group_key(m)) for m in members]),
        prior_share=np.array([tolerated_share(m.spec) for m in members]),
        further_capacity=np.array([one[1:] for one in stated]),
        mix=np.concatenate([one.mix.reshape(one.size, -1) for one in chosen]),
        full=tuple((row, law) for row, laws in enumerate(seen) for law in laws),
    )


def _stored_draws(posterior: MissPosterior, row: int) -> FloatArray:
    """(N_STORED, D) every so many-th draw, as it is stored (`MissDraws.to_array`)."""
    full = posterior.draws(row).to_array()
    at = np.linspace(0, full.shape[0] - 1, N_STORED).round().astype(np.int64)
    return np.asarray(full[at].astype(np.float32), dtype=np.float64)


def _row(
    member: ShardMember, draws: FloatArray, steps: MissSteps, stamp: FitStamp
) -> dict[str, Any]:
    """A workload's row; of draws that no decision could use, one that is rejected."""
    fault = stamp.diagnostics.fault()
    summary: dict[str, Any] = {}
    try:
        response = MissDraws.from_array(draws, n_worths(member.spec))
        LearnedResponse.of(response, member.spec, steps.requests_of_a_step(member))
        summary = summary_of(response, member, steps)
    except (ValueError, ArithmeticError) as error:
        fault = fault or str(error)
    about = summary | {"method": SAMPLED}
    return stamp.row(MISSES, _scope(member), draws.ravel(), about, fault)
