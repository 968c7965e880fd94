"""Workloads of a shard, from their rows; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError
from sqlalchemy import RowMapping

from decider import LEARNING_STEPS
from services.kernel.db.clusters import FIRST
from services.kernel.domain import WorkloadSpec, known_spec, read_spec


@dataclass(frozen=True, slots=True)
class ShardMember:
    """One active workload of the shard.

    Attributes:
        cluster: Name of its cluster; empty: not asked for.
        is_budgeted: An operator sees its replicas, so they count in GPU budgets. Those of a
            workload that was made over REST are what a key of its namespace says, and one whose
            target is not there has none.
        changed_at: When its goals or its GPUs last changed; None: they have not.
    """

    id: int
    namespace: str
    name: str
    step_s: int
    spec: WorkloadSpec
    cluster_id: int = FIRST
    cluster: str = ""
    is_budgeted: bool = True
    changed_at: datetime | None = None

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    def is_relearning(self, now: datetime) -> bool:
        """Whether it changed as lately as a new service takes to be learned."""
        since, length = self.changed_at, LEARNING_STEPS * timedelta(seconds=self.step_s)
        return since is not None and now - since < length


def to_member(row: RowMapping) -> ShardMember:
    """A workload from its row; its spec as text is checked once, as a mapping each time."""
    stored = row["spec"]
    spec = read_spec(stored) if isinstance(stored, str) else known_spec(stored)
    return ShardMember(
        int(row["id"]),
        row["namespace"],
        row["name"],
        int(row["step_s"]),
        spec,
        int(row.get("cluster_id", FIRST)),
        row.get("cluster", ""),
        row.get("managed_by", "kubernetes") == "kubernetes",
        row.get("changed_at"),
    )


def readable_members(rows: Iterable[RowMapping]) -> tuple[list[ShardMember], dict[int, str]]:
    """Workloads by their rows, and why others cannot be read: somebody may have spoilt a spec."""
    members: list[ShardMember] = []
    unread: dict[int, str] = {}
    for row in rows:
        try:
            members.append(to_member(row))
        except ValidationError as error:
            unread[int(row["id"])] = f"its stored spec cannot be read: {error.errors()[0]['msg']}"
    return members, unread
