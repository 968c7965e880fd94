"""A workload whose requests are measured, as ingest writes their counts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text

from tests.integration.decision.stored_rows import ORIGIN, STEP, STEP_S
from tests.integration.stored_indicators import store_indicators

OBJECTIVE = {
    "goals": [{"metric": "ttft", "threshold_s": 0.5}],
    "share": 0.95,
    "series": [
        {"name": name, "query": "sum(rate(x[$step]))"}
        for name in ("sli_ttft_total", "sli_ttft_good", "sli_waiting")
    ],
}


def promise(kind: str = "TimeFraction") -> dict[str, Any]:
    return {"kind": kind, "epsilon": 0.05, "objective": OBJECTIVE}


def add_counts(engine: Engine, workload: int, last: datetime = ORIGIN, **counts: Any) -> None:
    """Counts of the steps up to `last` by the series' name without `sli_`; None is a gap.

    A step that is there already is written anew, as late samples do.
    """
    rows = []
    for name, values in counts.items():
        scale = 1 if name == "waiting" else STEP_S
        for back, value in enumerate(reversed(values)):
            rate = None if value is None else value / scale
            rows.append((workload, f"sli_{name}", last - back * STEP, rate, rate is not None))
    with engine.begin() as connection:
        store_indicators(connection, rows)


def outcomes(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT * FROM outcomes ORDER BY step_at")).mappings())


def risk_state(engine: Engine) -> dict[str, Any]:
    with engine.connect() as connection:
        state: dict[str, Any] = connection.execute(
            text("SELECT state FROM risk_states")
        ).scalar_one()
    return state
