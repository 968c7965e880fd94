"""Rows of the approvals inbox to what the API returns; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping

from services.admin.approvals.schemas import InboxItem
from services.admin.decisions.translate import decision_values
from services.kernel.domain.workload import APPROVAL_VALID_S, MOST_APPROVAL_VALID_S


def to_inbox(row: RowMapping) -> InboxItem:
    """A decision that waits for a human."""
    return InboxItem.model_validate(decision_values(row))


def expires_at(decided_at: datetime, spec: Mapping[str, Any]) -> datetime:
    """From then on an approval of a decision is not followed, by its workload's stored spec.

    A spec of before it was stored there, or in which somebody has spoilt it, has the default.
    """
    stated = spec.get("approval_valid_s")
    valid_s = stated if isinstance(stated, int | float) else APPROVAL_VALID_S
    return decided_at + timedelta(seconds=max(0.0, min(valid_s, MOST_APPROVAL_VALID_S)))
