"""What was learned of capacities, and their fit run by hand: `harmony capacity`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from services.decision.beliefs import due
from services.decision.beliefs.miss_report import LearnedLine, report_learned
from services.decision.rows.members import readable_members
from services.decision.wiring import DecisionDeps
from services.kernel.clock import make_clock
from services.kernel.db.session import check_reachable, make_engine
from services.kernel.errors import Conflict, NotFound
from services.kernel.settings import Settings
from services.platform.repository import cluster_engine, load_specs

_FIGURES = ("p10", "p50", "p90", "floor", "slope", "method")


def learned_capacities(settings: Settings, namespace: str, name: str) -> list[dict[str, Any]]:
    """A row per active workload: what is stated, what was learned, from what, or why not.

    Where several clusters share the database they are those of `HARMONY_CLUSTER`.

    Args:
        settings: Settings.
        namespace: Only this namespace; empty: all.
        name: Only this workload; empty: all.

    Raises:
        NotFound: No active workload has this name.
    """
    clock = make_clock(settings.clock, settings.redis_url)
    with cluster_engine(settings).connect() as connection:
        found = load_specs(connection, namespace, name)
        if not found and (namespace or name):
            asked = f"namespace={namespace or 'any'}, name={name or 'any'}"
            raise NotFound(f"no active workload has {asked}; see `harmony status`")
        members, unread = readable_members(found)
        lines = report_learned(connection, members, clock.now())
    names = {int(row["id"]): f"{row['namespace']}/{row['name']}" for row in found}
    unknown = [LearnedLine(names[key], None, None, None, None, why) for key, why in unread.items()]
    return [_to_row(line) for line in [*lines, *unknown]]


def fit_capacities_now(settings: Settings) -> None:
    """Fit lead times, capacities and responses in this process.

    Raises:
        Conflict: Another process is at it.
    """
    if not due.fit_posteriors(_deps(settings), is_scheduled=False):
        raise Conflict("another process is fitting just now; see `harmony capacity show` later")


def _deps(settings: Settings) -> DecisionDeps:
    engine = make_engine(settings.database_url)
    check_reachable(engine)
    return DecisionDeps(engine, make_clock(settings.clock, settings.redis_url), settings)


def _to_row(line: LearnedLine) -> dict[str, Any]:
    known = line.summary or {}
    return {
        "workload": line.workload,
        "stated": line.stated,
        **{name: known.get(name) for name in _FIGURES},
        "sharing": known.get("sharing", {}).get("p50"),
        "steps": line.n_steps,
        "learned_at": line.learned_at,
        "note": line.note,
        "loads": [asdict(load) for load in line.loads],
        "variants": [asdict(variant) for variant in line.variants],
    }
