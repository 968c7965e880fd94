"""The watermark of decisions, and what a failed pass forgets."""

from __future__ import annotations

from datetime import timedelta

from services.operator.cluster.node_pools import GpuNodePool
from services.operator.cluster.node_sources import ToldPool
from services.operator.cluster.targets import TargetState
from services.operator.reconcile.memory import Memory, PatchedScale, Watermark
from tests.unit.operator.examples import NOW


def test_a_watermark_waits_a_minute_for_late_ids() -> None:
    mark = Watermark()
    mark.note(0.0, 10)
    mark.note(30.0, 20)
    assert mark.after_id == 0
    mark.note(60.0, 20)
    assert mark.after_id == 10
    mark.note(95.0, 15)
    assert mark.after_id == 20


def test_a_watermark_waits_for_what_came_late_and_is_open() -> None:
    mark = Watermark()
    mark.note(0.0, 10)
    mark.note(61.0, 12, [8])
    assert mark.after_id == 0
    mark.note(90.0, 14, [8, 13])
    assert mark.after_id == 0
    mark.note(95.0, 14, [13])
    assert mark.after_id == 10
    mark.note(155.0, 14)
    mark.note(215.0, 14)
    assert mark.after_id == 14


def test_forgetting_keeps_what_must_still_be_written() -> None:
    memory = Memory()
    memory.unwritten = [("row",)]
    memory.links = {"ReplicaSet": {"a": None}}
    own = GpuNodePool("p5", 64, 0, 0, (), {}, (), ())
    memory.told_pools = told = (ToldPool(own, frozenset({"H100"}), 8),)
    memory.forget()
    assert memory.told_pools == told
    assert memory.unwritten == [("row",)]
    assert memory.links == {}


def test_a_list_from_before_a_patch_shows_what_the_patch_left() -> None:
    old, newer = TargetState("d", "1", 3), TargetState("d", "4", 7)
    known = PatchedScale(("1", "2"), 5, NOW, "3")
    assert known.applied_to(old) == TargetState("d", "3", 5)
    assert known.applied_to(newer) == newer
    assert PatchedScale(("1",), 5, NOW).applied_to(old) == old  # nobody said that it was made


def test_what_was_patched_is_kept_while_a_list_may_be_older() -> None:
    known = PatchedScale(("1",), 5, NOW, "3")
    assert known.is_of_use(TargetState("d", "1", 3), NOW)
    assert known.is_of_use(TargetState("d", "3", 5), NOW)  # a list from before may have been mended
    assert not known.is_of_use(TargetState("d", "4", 5), NOW)
    assert known.is_of_use(None, NOW + timedelta(minutes=4))
    assert not known.is_of_use(None, NOW + timedelta(minutes=6))
