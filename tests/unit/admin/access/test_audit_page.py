"""An audit entry's differences."""

from __future__ import annotations

from services.admin.access.audit_page import Difference, differences


def test_an_audit_entry_says_what_differs() -> None:
    before = {"pause": None, "policy": {"mode": "Auto", "min_replicas": 2}}
    after = {"pause": {"direction": "Both"}, "policy": {"mode": "Auto", "min_replicas": 3}}
    assert differences(before, after) == [
        Difference("pause.direction", None, "Both"),
        Difference("policy.min_replicas", "2", "3"),
    ]
    assert differences(None, None) == []
