"""Workloads from their rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.decision.rows.members import ShardMember
from tests.unit.decision.rows.test_inputs import make_spec

AT = datetime(2026, 1, 6, 12, tzinfo=UTC)


@pytest.mark.parametrize(("minutes", "is_relearning"), [(0, True), (59, True), (60, False)])
def test_a_change_is_learned_within_twelve_steps(minutes: int, is_relearning: bool) -> None:
    member = ShardMember(1, "demo", "w", 300, make_spec(), changed_at=AT)
    assert member.is_relearning(AT + timedelta(minutes=minutes)) == is_relearning
    assert not replace(member, changed_at=None).is_relearning(AT)
