"""Use case of showback: dollars per team, by namespace or by a label."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

from sqlalchemy import RowMapping

from services.admin.deps import ReadDeps
from services.admin.rest.times import Window
from services.admin.showback import repository
from services.admin.showback.schemas import Showback, TeamCost
from services.kernel.errors import InvalidInput

DEFAULT_WINDOW, MAX_WINDOW = timedelta(days=7), timedelta(days=93)
NO_LABEL = "(no label)"
"""Team of the workloads without the label in CSV; no value of a label has parentheses."""
_COLUMNS = ("team", "n_workloads", "gpu_hours", "cost_usd", "unmeasured_hours")
_MAX_LABEL = 317
"""Characters of a label's name in Kubernetes, its prefix included."""


@dataclass(frozen=True, slots=True)
class ShowbackQuery:
    """What is asked.

    Attributes:
        by: `namespace`, or `label=NAME`.
        from_at: Start, inclusive; None: a week before the end.
        to_at: End, exclusive; None: now.
        filters: Which workloads, as for lists.
    """

    by: str
    from_at: datetime | None
    to_at: datetime | None
    filters: Mapping[str, Any]


def get_showback(deps: ReadDeps, query: ShowbackQuery) -> Showback:
    """Dollars per team.

    Raises:
        InvalidInput: What teams are by, or the time, cannot be used.
    """
    window = _window(deps, query)
    rows = _rows(deps, query, window)
    return Showback(
        by=query.by,
        from_at=window.from_at,
        to_at=window.to_at,
        teams=[TeamCost(**row) for row in rows],
        gpu_hours=_total([row["gpu_hours"] for row in rows]),
        cost_usd=_total([row["cost_usd"] for row in rows]),
        unmeasured_hours=_total([row["unmeasured_hours"] for row in rows]) or 0.0,
    )


def get_showback_csv(deps: ReadDeps, query: ShowbackQuery) -> str:
    """The same as CSV, a line per team, amounts with every digit; empty: not known.

    Raises:
        InvalidInput: What teams are by, or the time, cannot be used.
    """
    written = StringIO()
    lines = csv.writer(written, lineterminator="\n")
    lines.writerow(_COLUMNS)
    for row in _rows(deps, query, _window(deps, query)):
        team = NO_LABEL if row["team"] is None else row["team"]
        lines.writerow([team, *(_plain(row[name]) for name in _COLUMNS[1:])])
    return written.getvalue()


def _rows(deps: ReadDeps, query: ShowbackQuery, window: Window) -> list[RowMapping]:
    now = deps.clock.now()
    past = Window(window.from_at, min(window.to_at, now))
    with deps.reading() as connection:
        return repository.load_costs(connection, label_of(query.by), query.filters, past, now)


def label_of(by: str) -> str | None:
    """Name of the label whose values are teams; None: namespaces are.

    Raises:
        InvalidInput: It is neither.
    """
    kind, sign, name = by.partition("=")
    if by == "namespace":
        return None
    if kind == "label" and sign and 0 < len(name) <= _MAX_LABEL and "\x00" not in name:
        return name
    raise InvalidInput(f"by={by[:80]!r} must be namespace, or label=NAME, e.g. label=team")


def _window(deps: ReadDeps, query: ShowbackQuery) -> Window:
    to_at = query.to_at or deps.clock.now()
    from_at = query.from_at or to_at - DEFAULT_WINDOW
    if from_at > to_at:
        raise InvalidInput(f"from_at={from_at.isoformat()} must not be after {to_at.isoformat()}")
    if to_at - from_at > MAX_WINDOW:
        days = (to_at - from_at).days
        raise InvalidInput(
            f"from_at={from_at.isoformat()}: {days} days until {to_at.isoformat()} are too many, "
            f"ask for at most {MAX_WINDOW.days}"
        )
    return Window(from_at, to_at)


def _total(values: Sequence[Decimal | None]) -> float | None:
    """Sum of what is known; None: nothing is."""
    known = [value for value in values if value is not None]
    return float(sum(known)) if known else None


def _plain(value: Decimal | int | None) -> str:
    return "" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)
