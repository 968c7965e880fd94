"""Counts of what was given and taken, in a real database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from decider import PeerLedger
from services.decision.budgets.peers_repository import (
    LedgerRow,
    load_given_at,
    load_ledger,
    lock_total,
    store_ledger,
    store_total,
)
from services.kernel.db.clusters import set_total
from tests.integration.decision.stored_rows import NOW

pytestmark = pytest.mark.integration
ROW = LedgerRow("7", "H100", "eu")


def test_a_ledger_is_of_one_other_database_and_one_type(database: Engine) -> None:
    with database.begin() as connection:
        assert load_ledger(connection, "7", "H100") == PeerLedger()
        store_ledger(connection, ROW, PeerLedger(3, 1), NOW)
        store_ledger(connection, ROW._replace(gpu_type="L4"), PeerLedger(9, 9))
        assert load_ledger(connection, "7", "H100") == PeerLedger(3, 1)
        assert load_ledger(connection, "8", "H100") == PeerLedger()
        assert load_given_at(connection, "H100") == {"7": NOW}
        assert load_given_at(connection, "L4") == {}


def test_what_is_taken_leaves_the_time_of_the_last_gift(database: Engine) -> None:
    with database.begin() as connection:
        store_ledger(connection, ROW, PeerLedger(3, 1), NOW)
        store_ledger(connection, ROW, PeerLedger(3, 5))
        assert load_ledger(connection, "7", "H100") == PeerLedger(3, 5)
        assert load_given_at(connection, "H100") == {"7": NOW}
        store_ledger(connection, ROW, PeerLedger(4, 5), NOW + timedelta(hours=1))
        assert load_given_at(connection, "H100") == {"7": NOW + timedelta(hours=1)}


def test_an_amount_is_that_of_its_type(database: Engine) -> None:
    with database.begin() as connection:
        assert lock_total(connection, "H100") is None
        set_total(connection, "H100", 10, NOW)
        set_total(connection, "L4", 4, NOW)
        store_total(connection, "H100", 7)
        assert (lock_total(connection, "H100"), lock_total(connection, "L4")) == (7, 4)
