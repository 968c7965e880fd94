"""Whether a stored decision can still be made again, for all who are asked."""

from __future__ import annotations

IS_REPLAYABLE = (
    "(d.inputs IS NOT NULL OR EXISTS (SELECT FROM decision_inputs i JOIN forecasts g "
    "ON g.id = d.forecast_id AND g.origin_at = d.origin_at "
    "WHERE i.decision_id = d.id AND i.origin_at = d.origin_at)) AS is_replayable"
)
"""Column of a query over decisions `d`: its inputs are kept, and the forecast that they lack.

Releases before `decision_inputs` kept all of it with the decision.
"""


def not_kept(decision_id: int) -> str:
    """Why a decision cannot be made again."""
    return (
        f"decision {decision_id} cannot be made again: its inputs and its forecast are kept for "
        "HARMONY_RETAIN_FORECASTS_DAYS only; the decision and its explanation stay"
    )
