"""Rows of the approvals inbox to what the API returns; pure."""

from __future__ import annotations

from sqlalchemy import RowMapping

from services.admin.approvals.schemas import InboxItem
from services.admin.decisions.translate import decision_values


def to_inbox(row: RowMapping) -> InboxItem:
    """A decision that waits for a human."""
    return InboxItem.model_validate(decision_values(row))
