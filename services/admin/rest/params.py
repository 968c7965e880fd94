"""Parameters that routes share: a workload's name, an id, a page, a time window."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Path, Query

from services.admin.deps import AdminDeps
from services.admin.rest.times import Instant, Window
from services.kernel.errors import InvalidInput

Id = Annotated[int, Path(ge=1, lt=2**63)]
_MAX_WINDOW_STEPS = 20_000
Namespace = Annotated[str, Path(max_length=63, examples=["prod"])]
Name = Annotated[str, Path(max_length=253, examples=["llama-70b"])]
Limit = Annotated[int, Query(ge=1, le=500, description="Items per page")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next_cursor` of a page")]
FromAt = Annotated[
    Instant | None, Query(description="Start, inclusive; default: a day before `to_at`")
]
ToAt = Annotated[Instant | None, Query(description="End, inclusive; default: now")]


def window(
    deps: AdminDeps, from_at: datetime | None, to_at: datetime | None, step_s: int
) -> Window:
    """The window asked for, by default the last day.

    Raises:
        InvalidInput: It is empty or holds too many steps.
    """
    end = to_at or deps.clock.now()
    start = from_at or end - timedelta(days=1)
    if start > end:
        raise InvalidInput(f"from_at={start.isoformat()} must not be after {end.isoformat()}")
    if (end - start).total_seconds() > _MAX_WINDOW_STEPS * step_s:
        raise InvalidInput(
            f"from_at={start.isoformat()}: the window holds more than {_MAX_WINDOW_STEPS} steps "
            f"of {step_s} s; ask for less at once"
        )
    return Window(start, end)
