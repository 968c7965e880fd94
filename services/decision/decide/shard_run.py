"""One run over a shard: its transaction, its workloads and the steps that it looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from services.decision.decide.outcomes import LOOKBACK_STEPS
from services.decision.rows.measured import open_steps
from services.decision.rows.members import ShardMember
from services.decision.rows.sli_series import SliGrid
from services.decision.wiring import DecisionDeps
from services.kernel.db.session import UnitOfWork


@dataclass(frozen=True, slots=True)
class ShardRun:
    """One run over a shard, within its transaction.

    Attributes:
        work: The transaction.
        deps: What the use case needs.
        members: The shard's workloads by id; at least one.
        origin_at: The origin that is decided for.
        now: Time of the run.
        gpu_types: GPU types of all workloads that the transaction decides for, at any origin: their
            budgets are locked together.
    """

    work: UnitOfWork
    deps: DecisionDeps
    members: Mapping[int, ShardMember]
    origin_at: datetime
    now: datetime
    gpu_types: frozenset[str] = frozenset()

    @property
    def connection(self) -> Connection:
        """The open connection."""
        return self.work.connection

    @property
    def longest_step(self) -> timedelta:
        """Longest step of the shard's workloads."""
        return timedelta(seconds=max(m.step_s for m in self.members.values()))

    def grid(self, member: ShardMember) -> SliGrid:
        """Steps of a workload that may be new or may still change."""
        n = LOOKBACK_STEPS + open_steps(member.step_s, self.deps.settings.late_s)
        return SliGrid(self.origin_at.timestamp(), float(member.step_s), n)

    @property
    def first_step_at(self) -> datetime:
        """Start of the first of these steps."""
        first_s = min(float(self.grid(m).starts_s[0]) for m in self.members.values())
        return datetime.fromtimestamp(first_s, UTC)
