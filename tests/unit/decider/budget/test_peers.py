"""Laws of a total over databases: it holds whatever is lost, late, old, or done at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from decider.budget.cells import BudgetCell
from decider.budget.peers import (
    PeerAmount,
    PeerLedger,
    PeerParts,
    give_to_peer,
    take_from_peer,
)

DATABASES = st.integers(0, 2)
PRICES = st.one_of(st.none(), st.just(0.0), st.just(math.inf), st.floats(0.01, 1e4))


@dataclass
class Database:
    """Amount, parts of two cells, and ledgers by the other's number."""

    gpus: int
    parts: list[int]
    held: list[int]
    ledgers: dict[int, PeerLedger] = field(default_factory=dict)


class Peers(RuleBasedStateMachine):
    """Three databases; what one has told is read at any time after, any number of times."""

    @initialize(amounts=st.lists(st.integers(0, 60), min_size=3, max_size=3))
    def begin(self, amounts: list[int]) -> None:
        self.total = sum(amounts)
        self.databases = [Database(n, [n - n // 2, n // 2], [0, 0]) for n in amounts]
        self.told: list[tuple[int, int, PeerLedger]] = []

    @rule(me=DATABASES, other=DATABASES)
    def tell(self, me: int, other: int) -> None:
        """Answer a request; the answer may be lost for ever."""
        if me != other:
            self.told.append((me, other, self.databases[me].ledgers.get(other, PeerLedger())))

    @rule(data=st.data())
    def hear(self, data: st.DataObject) -> None:
        """Any answer that was ever given, however old; also one heard before."""
        if not self.told:
            return
        sender, me, ledger = data.draw(st.sampled_from(self.told))
        mine = self.databases[me]
        amount = take_from_peer(
            PeerAmount(mine.gpus, mine.ledgers.get(sender, PeerLedger())), ledger
        )
        mine.gpus, mine.ledgers[sender] = amount.gpus, amount.ledger

    @rule(
        me=DATABASES,
        other=DATABASES,
        told=st.none() | st.builds(BudgetCell, st.integers(0, 90), st.integers(0, 90), PRICES),
        own=st.lists(PRICES, min_size=2, max_size=2),
    )
    def exchange(
        self, me: int, other: int, told: BudgetCell | None, own: list[float | None]
    ) -> None:
        """Exchange at prices that may be as old and wrong as they like."""
        if me == other:
            return
        mine = self.databases[me]
        cells = [BudgetCell(*each) for each in zip(mine.parts, mine.held, own, strict=True)]
        found = give_to_peer(mine.gpus, cells, told)
        ledger = mine.ledgers.get(other, PeerLedger())
        mine.ledgers[other] = PeerLedger(ledger.given + found.given, ledger.taken)
        mine.gpus, mine.parts = mine.gpus - found.given, found.parts

    @rule(me=DATABASES, cell=st.integers(0, 1), data=st.data())
    def hold(self, me: int, cell: int, data: st.DataObject) -> None:
        """A cell scales within its part; what it holds beyond a lowered part it may only let go."""
        mine = self.databases[me]
        most = max(mine.parts[cell], mine.held[cell])
        mine.held[cell] = data.draw(st.integers(0, most))

    @invariant()
    def amounts_and_what_is_on_the_way_are_the_total(self) -> None:
        if not hasattr(self, "total"):
            return
        way = sum(
            ledger.given - self.databases[other].ledgers.get(me, PeerLedger()).taken
            for me, database in enumerate(self.databases)
            for other, ledger in database.ledgers.items()
        )
        assert way >= 0
        assert sum(each.gpus for each in self.databases) + way == self.total

    @invariant()
    def nothing_is_bound_beyond_the_total(self) -> None:
        for each in getattr(self, "databases", []):
            bound = [max(p, h) for p, h in zip(each.parts, each.held, strict=True)]
            assert all(part >= 0 for part in each.parts)
            assert sum(bound) <= each.gpus
        assert sum(each.gpus for each in getattr(self, "databases", [])) <= getattr(
            self, "total", 0
        )


TestPeers = Peers.TestCase
TestPeers.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def dear(price: float | None) -> BudgetCell:
    return BudgetCell(20, 20, price)


def test_what_is_worth_more_elsewhere_goes_there_once_nobody_holds_it() -> None:
    first = give_to_peer(40, [BudgetCell(40, 40, 1.0)], dear(9.0))
    assert first == PeerParts([37], 0), "first the decrease"
    assert give_to_peer(40, [BudgetCell(37, 40, 1.0)], dear(9.0)).given == 0, "it is held still"
    assert give_to_peer(40, [BudgetCell(37, 37, 1.0)], dear(9.0)).given == 3


def test_nobody_gives_at_a_price_that_is_not_known_or_not_higher() -> None:
    for price in (None, 0.0, 1.0):
        assert give_to_peer(40, [BudgetCell(40, 40, 1.0)], dear(price)) == PeerParts([40], 0)
    assert give_to_peer(40, [BudgetCell(40, 40, 1.0)], None) == PeerParts([40], 0)


def test_an_amount_that_is_less_than_the_parts_is_taken_from_the_own_cells() -> None:
    found = give_to_peer(30, [BudgetCell(40, 40, 5.0)], dear(0.0))
    assert found == PeerParts([30], 0)


def test_a_giver_whose_backup_was_put_back_gives_again_what_was_taken() -> None:
    restored = PeerAmount(30, PeerLedger(given=0, taken=0))
    assert take_from_peer(restored, PeerLedger(given=0, taken=10)) == PeerAmount(
        20, PeerLedger(10, 0)
    )
