"""The watermark of decisions, and what a failed pass forgets."""

from __future__ import annotations

from services.operator.reconcile.memory import Memory, Watermark


def test_a_watermark_waits_a_minute_for_late_ids() -> None:
    mark = Watermark()
    mark.note(0.0, 10)
    mark.note(30.0, 20)
    assert mark.after_id == 0
    mark.note(60.0, 20)
    assert mark.after_id == 10
    mark.note(95.0, 15)
    assert mark.after_id == 20


def test_forgetting_keeps_what_must_still_be_written() -> None:
    memory = Memory()
    memory.unwritten = [("row",)]
    memory.links = {"ReplicaSet": {"a": None}}
    memory.forget()
    assert memory.unwritten == [("row",)]
    assert memory.links == {}
