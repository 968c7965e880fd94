"""One workload's response as a run finds it: stored, reweighted, or to be learned anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from decider import (
    FloatArray,
    FullUse,
    MissDraws,
    MissPrior,
    MissUpdate,
    miss_log_likelihood,
    restated_capacity,
    update_misses,
    use_log_likelihood,
)
from services.decision.beliefs.groups import MeasuredGroup
from services.decision.beliefs.miss_data import CARRIED, MIN_STEPS, MissSteps, largest_of
from services.decision.beliefs.ready_mix import n_worths
from services.decision.rows.loads import stated_capacity
from services.decision.rows.members import ShardMember
from services.decision.rows.responses import tolerated_share
from services.decision.rows.translate import to_draws

PARTICLES, SAMPLED = "particles", "pymc"
"""How a response was learned: at a decision, from its own steps; by the fit, with its group."""
N_STORED = 256
"""Draws of a response that are stored."""
MANY_STEPS, LEAST_NEW = 100, 10
"""Learned from so many steps, a response is not learned again before so many new ones."""


@dataclass(slots=True)
class MissView:
    """What a run of decisions knows of one workload's response.

    Attributes:
        member: The workload.
        stored: Its stored response, learned for the spec as it is; None: there is none.
        since: Steps after those that it was learned from.
        draws: The response after them; None: there is none.
        needs_refit: Too few of the stored draws agree with them.
        mix: (V,) share of the stated capacity asked for now that is each variant's but the first;
            None: there are no variants.
        group: What others like it were measured to carry; None: nothing is known.
    """

    member: ShardMember
    stored: RowMapping | None
    since: MissSteps = field(default_factory=MissSteps.none)
    draws: MissDraws | None = None
    needs_refit: bool = False
    mix: FloatArray | None = None
    group: MeasuredGroup | None = None

    def reweight(self) -> None:
        """Take the steps since into the stored draws, or into what its group says of one more."""
        if self.stored is not None:
            update = self._reweighted(draws_of(self.stored))
            self.draws, self.needs_refit = update.draws, update.needs_refit
        elif self.group is not None:
            prior = prior_of(self.member, self.group, ())
            self.draws = self._reweighted(prior.draws(N_STORED)).draws

    def _reweighted(self, stored: MissDraws) -> MissUpdate:
        steps = self.since.across_loads()
        evidence = miss_log_likelihood(stored, steps.load, steps.missed, steps.total, steps.mix)
        seen = list(self.since.full_uses(self.member).values())
        return update_misses(stored, evidence + use_log_likelihood(seen, stored))

    def wants_to_learn(self) -> bool:
        """It has none and enough steps, or many more steps than it was learned from.

        What a group says is narrow: one step may tell more than its draws can carry.
        """
        n = self.since.size
        if self.stored is None:
            return n >= (MIN_STEPS if self.group is None else 1)
        n_learned = int(self.stored["n_observations"])
        if n_learned >= MANY_STEPS and n < LEAST_NEW:
            return False
        return self.needs_refit or (self.is_own() and n > 0 and 2 * n >= n_learned)

    def is_own(self) -> bool:
        """What is stored was learned at a decision."""
        return self.stored is not None and self.stored["summary"].get("method") == PARTICLES

    def age(self) -> tuple[datetime, int]:
        """Order in which workloads learn: the oldest first, those without any before them."""
        oldest = datetime.min.replace(tzinfo=UTC)
        return (oldest if self.stored is None else self.stored["fitted_at"], self.member.id)

    def carried(self) -> FloatArray:
        """(K, 1+F) loads seen to be carried: in the steps since, and as when it was learned."""
        share = tolerated_share(self.member.spec)
        found = self.since.carried(share, float(self.member.step_s))
        before = () if self.stored is None else self.stored["summary"].get(CARRIED, ())
        if not before:
            return found
        return largest_of(np.concatenate([found, np.array(before, dtype=np.float64)]))

    def requests_per_step(self) -> float:
        """By the steps since; where there are few, as when it was learned."""
        if self.stored is None or self.since.size >= MIN_STEPS:
            return self.since.requests_of_a_step(self.member)
        return float(self.stored["summary"]["requests_per_step"])


def prior_of(
    member: ShardMember, group: MeasuredGroup | None, seen: Sequence[FullUse]
) -> MissPrior:
    """What is expected of a workload before any step of its own.

    Args:
        member: The workload.
        group: Its group; None: its stated capacity is all that is known.
        seen: What occupancies tell of full replicas.
    """
    spec = member.spec
    demand, *further = restated_capacity(seen, stated_capacity(spec))
    share, n_worth = tolerated_share(spec), n_worths(spec)
    prior = MissPrior.stated(demand, spec.capacity.cv, share, further, n_worth)
    if group is not None:
        prior = prior.of_group(group.law, spec.capacity.cv)
    return replace(prior, seen=tuple(seen))


def draws_of(row: Mapping[str, Any] | RowMapping) -> MissDraws:
    """The response of a row of `posteriors`."""
    of = row["summary"].get("learned_for", {})
    n_further, n_variants = len(of.get("further", ())), max(0, len(of.get("variants", ())) - 1)
    width = (5 + n_further if n_further else 4) + n_variants
    return MissDraws.from_array(to_draws(row["draws"]).reshape(-1, width), n_variants)
