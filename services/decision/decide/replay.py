"""A stored decision made again: from its inputs and the forecast that it names."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping

from decider import (
    ForecastArrays,
    ReplayMismatch,
    decision_to_dict,
    forecast_of,
    replay_service,
)
from services.decision.rows import repository
from services.decision.rows.pools import to_forecast_arrays
from services.decision.rows.record import decisions_sha256
from services.decision.rows.service_decision import whole_decision
from services.decision.wiring import DecisionDeps
from services.kernel.db.retention import not_kept
from services.kernel.errors import Conflict, NotFound


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """A decision made again from its stored inputs.

    Attributes:
        is_identical: The bytes are the same.
        stored_sha256: Digest stored with the decision.
        replayed_sha256: Digest of the decision made now.
        record: The decision made now.
    """

    is_identical: bool
    stored_sha256: str
    replayed_sha256: str
    record: dict[str, object]


def replay(deps: DecisionDeps, decision_id: int) -> ReplayReport:
    """Make a stored decision again and compare the bytes.

    Raises:
        NotFound: There is no such decision.
        Conflict: What it was made from is not kept any more, or is not the same any more.
    """
    with deps.engine.connect() as connection:
        row = repository.load_decision(connection, decision_id)
        if row is None:
            raise NotFound(f"decision {decision_id} does not exist")
        if not row["is_replayable"]:
            raise Conflict(not_kept(decision_id))
        inputs = repository.load_inputs(connection, row)
        try:
            again = replay_service(inputs, _forecast(connection, row, inputs))
        except ReplayMismatch as error:
            raise Conflict(f"decision {decision_id} cannot be made again: {error}") from error
    digest = decisions_sha256(again)
    stored = str(row["explanation"].get("sha256", ""))
    record = decision_to_dict(whole_decision(again))
    return ReplayReport(digest == stored, stored, digest, record)


def _forecast(connection: Connection, row: RowMapping, inputs: bytes) -> ForecastArrays | None:
    """What the decision took from its forecast; None: its inputs hold everything."""
    needed = forecast_of(inputs)
    if needed is None:
        return None
    forecast = repository.load_forecast(connection, row)
    return to_forecast_arrays(forecast, needed.further, has_pools=needed.has_pools)
