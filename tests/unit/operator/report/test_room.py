"""What cannot be read of the room to grow is said, with what is lost by it."""

from __future__ import annotations

from dataclasses import replace

from services.operator.devices.claim_room import ClaimRoom
from services.operator.kueue.queue_room import QueueRoom
from services.operator.report.room import room_unknown
from tests.unit.operator.examples import situation
from tests.unit.operator.reports import facts

READ = QueueRoom("ClusterQueue/a", 4, "QuotaExceeded", "ClusterQueue/a leaves 4 of 8")
UNREAD = QueueRoom("LocalQueue/q", None, "QuotaUnreadable", "it cannot be read")


def test_nothing_to_say() -> None:
    found = room_unknown(facts())
    assert (found.type, found.status, found.reason) == ("RoomUnknown", "False", "NothingUnread")


def test_what_the_queue_leaves_is_told() -> None:
    found = room_unknown(facts(where=replace(situation(), queue=READ)))
    assert (found.status, found.message) == ("False", READ.message)


def test_a_queue_that_cannot_be_read() -> None:
    found = room_unknown(facts(where=replace(situation(), queue=UNREAD)))
    assert (found.status, found.reason, found.message) == (
        "True", "QuotaUnreadable", UNREAD.message,
    )  # fmt: skip


def test_no_node_has_the_type() -> None:
    found = room_unknown(facts(where=replace(situation(), is_room_known=False)))
    assert (found.status, found.reason) == ("True", "NodesUnknown")
    assert "correct gpuType" in found.message
    missing = replace(situation(), is_room_known=False, replicas=None)
    assert room_unknown(facts(where=missing)).status == "False"


def test_claims_that_cannot_be_told() -> None:
    odd = ClaimRoom("ClaimsUnknown", "free devices are not known")
    found = room_unknown(facts(where=replace(situation(), claims=odd)))
    assert (found.status, found.reason, found.message) == ("True", odd.reason, odd.message)
    gone = replace(odd, is_known=True)
    assert room_unknown(facts(where=replace(situation(), claims=gone))).status == "False"


def test_one_part_that_cannot_be_read_is_enough() -> None:
    parts = (("prefill", situation()), ("decode", replace(situation(), queue=UNREAD)))
    found = room_unknown(facts(where=replace(situation(), parts=parts)))
    assert (found.status, found.reason) == ("True", "QuotaUnreadable")
