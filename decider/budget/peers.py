"""A total of GPUs over databases of cells, each of which decides and writes for itself alone.

Each has an amount of it, that its own cells share (`decider.budget.cells`). What it gives to
another it counts, in one number for each that only ever grows, and has no longer from then on. The
other reads that number whenever it can, adds what is new to its own amount, and counts what it has
taken. So an answer that is lost, late, old, or read twice moves nothing twice; what was given and
is not taken yet is nobody's; and amounts and what is on the way are the total, always.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from decider.budget.cells import BudgetCell, exchange


@dataclass(frozen=True, slots=True)
class PeerLedger:
    """What one database has given to another and taken from it, ever.

    Attributes:
        given: GPUs.
        taken: GPUs, as the other one counts what it has given.
    """

    given: int = 0
    taken: int = 0


@dataclass(frozen=True, slots=True)
class PeerAmount:
    """The amount of one database, with what it and another know of each other.

    Attributes:
        gpus: GPUs that its cells may hold together.
        ledger: Of it and the other.
    """

    gpus: int
    ledger: PeerLedger


@dataclass(frozen=True, slots=True)
class PeerParts:
    """Parts of the cells of a database after an exchange, and what it gives to another one."""

    parts: list[int]
    given: int


def take_from_peer(mine: PeerAmount, told: PeerLedger) -> PeerAmount:
    """The amount once what another tells is taken.

    Args:
        mine: The amount.
        told: The other one's ledger of this one; an old one changes nothing.

    Returns:
        The amount; smaller where the other one has taken what is not known here to be given any
        longer: a backup was put back.
    """
    taken = max(mine.ledger.taken, told.given)
    given = max(mine.ledger.given, told.taken)
    added = taken - mine.ledger.taken
    lost = given - mine.ledger.given
    return PeerAmount(max(0, mine.gpus + added - lost), PeerLedger(given, taken))


def give_to_peer(total: int, cells: Sequence[BudgetCell], other: BudgetCell | None) -> PeerParts:
    """Parts after one exchange among the cells of a database and the dearest other database.

    Args:
        total: Amount of this database.
        cells: Its cells.
        other: The other database as one cell that holds its amount; None: none is known to want
            any. What it has told may be old: it gives nothing up here, that is for itself to do.
    """
    if other is None or sum(cell.part for cell in cells) > total:
        return PeerParts(exchange(total, cells), 0)
    there = BudgetCell(other.part, other.part, other.price)
    *parts, after = exchange(total + there.part, [*cells, there])
    return PeerParts(parts, max(0, after - there.part))
