"""Other databases of cells as they tell of themselves, and what this one gives and takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

import structlog
from pydantic import AwareDatetime, BaseModel, Field, ValidationError
from sqlalchemy import Connection

from decider import BudgetCell, PeerAmount, PeerLedger, take_from_peer
from services.decision.budgets import peers_repository
from services.kernel.db.clusters import DatabaseIdentity
from services.kernel.security.peers import PeerAnswer

_SETTLED_STEPS = 3
"""Steps between two gifts to the same database: its price is to tell of the last one first."""
_FRESH_STEPS = 3
log = structlog.get_logger("decision")


_Gpus = Annotated[int, Field(ge=0, le=1_000_000_000)]
"""Sums of all that was ever given are stored as whole numbers of eight bytes."""


class _Ledger(BaseModel):
    peer: str = Field(max_length=63)
    given_gpus: _Gpus
    taken_gpus: _Gpus


class _Total(BaseModel):
    gpu_type: str
    gpus: _Gpus
    price_usd_per_gpu_hour: float | None = Field(ge=0)
    is_short: bool
    exchanged_at: AwareDatetime | None
    ledgers: list[_Ledger]


class _Shares(BaseModel):
    identity: str = Field(max_length=63)
    name: str = Field(max_length=63)
    totals: list[_Total]


@dataclass(frozen=True, slots=True)
class PeerTotal:
    """What another database tells of its amount of a GPU type.

    Attributes:
        peer: DatabaseIdentity of the database.
        name: Its name.
        gpus: Its amount.
        price: What one GPU more is worth to it; infinite: less than it needs; None: not known.
        exchanged_at: When that was found.
        ledger: What it has given to this database and taken from it.
    """

    peer: str
    name: str
    gpus: int
    price: float | None
    exchanged_at: datetime | None
    ledger: PeerLedger

    def is_fresh(self, now: datetime, step_s: float) -> bool:
        """Its price is not old."""
        oldest = now - timedelta(seconds=_FRESH_STEPS * step_s)
        return self.exchanged_at is not None and self.exchanged_at >= oldest


def told_totals(answers: Sequence[PeerAnswer], me: DatabaseIdentity) -> dict[str, list[PeerTotal]]:
    """Totals that peers tell of, by GPU type; one that cannot be read is logged and left out."""
    found: dict[str, list[PeerTotal]] = {}
    for answer in answers:
        problem = answer.problem
        if answer.document is not None:
            try:
                shares = _Shares.model_validate(answer.document)
                problem = _problem(shares, answer.peer, me)
            except ValidationError:
                problem = "its answer cannot be read"
        if problem:
            log.warning("peer_left_out", peer=answer.peer, problem=problem)
            continue
        for total in shares.totals:
            found.setdefault(total.gpu_type, []).append(_to_total(shares, total, me))
    return found


def _problem(shares: _Shares, name: str, me: DatabaseIdentity) -> str:
    if shares.name != name:
        return f"calls itself {shares.name!r}: name it so in HARMONY_PEERS, or rename its cluster"
    if shares.identity == me.identity:
        return "is this database, or a copy of it"
    if shares.name == me.name:
        return f"has the name of this one, {me.name!r}: rename a cluster (harmony cells rename)"
    return ""


def _to_total(shares: _Shares, total: _Total, me: DatabaseIdentity) -> PeerTotal:
    own = next((each for each in total.ledgers if each.peer == me.identity), None)
    ledger = PeerLedger() if own is None else PeerLedger(own.given_gpus, own.taken_gpus)
    price = math.inf if total.is_short else total.price_usd_per_gpu_hour
    at = total.exchanged_at
    return PeerTotal(shares.identity, shares.name, total.gpus, price, at, ledger)


def take_from(connection: Connection, gpu_type: str, gpus: int, told: Sequence[PeerTotal]) -> int:
    """The amount of this database once what others gave to it is taken; stored where it changed."""
    for each in told:
        before = PeerAmount(gpus, peers_repository.load_ledger(connection, each.peer, gpu_type))
        after = take_from_peer(before, each.ledger)
        if after.ledger.given != before.ledger.given:
            log.warning("peer_knows_more", peer=each.name, gpu_type=gpu_type, gpus=after.gpus)
        if after != before:
            row = peers_repository.LedgerRow(each.peer, gpu_type, each.name)
            peers_repository.store_ledger(connection, row, after.ledger)
        gpus = after.gpus
    return gpus


def dearest(
    connection: Connection, gpu_type: str, told: Sequence[PeerTotal], now: datetime, step_s: float
) -> PeerTotal | None:
    """The database to which one GPU more is worth most, where its price tells of all it has."""
    given_at: Mapping[str, Any] = peers_repository.load_given_at(connection, gpu_type)
    settled_at = now - timedelta(seconds=_SETTLED_STEPS * step_s)
    known = [
        each
        for each in told
        if each.price is not None
        and each.is_fresh(now, step_s)
        and (each.peer not in given_at or given_at[each.peer] <= settled_at)
    ]
    return max(known, key=lambda each: each.price or 0.0, default=None)


def as_cell(told: PeerTotal) -> BudgetCell:
    """Another database as one cell that holds its amount."""
    return BudgetCell(told.gpus, told.gpus, told.price)
