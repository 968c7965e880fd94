"""What the model that serves has seen of each workload, as a fleet of some age has it.

It is described once for each model and workload: measured cycles are not to pay for it.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine

from forecaster import InputDriftConfig
from services.forecasting.deps import make_forecasting
from services.forecasting.online.repository import DriftRow, save_drift
from services.forecasting.rows.repository import load_workloads
from services.forecasting.score.drift import DriftWatch, window_steps
from services.kernel.clock import FixedClock
from services.kernel.db.session import unit_of_work
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings


def store_references(engine: Engine, settings: Settings, version: str, at: datetime) -> None:
    """Describe the history of every workload up to a time, and store that.

    Args:
        engine: Of the database with the history.
        settings: Those of the fleet; all its workloads have their step.
        version: The model that serves.
        at: When it was registered.
    """
    app = make_forecasting(settings, RecordingSender(), FixedClock(at))
    config = InputDriftConfig(window=window_steps(settings, settings.step_s))
    with unit_of_work(engine) as work:
        workloads = load_workloads(work.connection)
        watch = DriftWatch(app, work.connection, version, {one.id: one for one in workloads})
        watch.describe(workloads, at, config, len(workloads))
        rows = [DriftRow(id_, state, None, None, None, "") for id_, state in watch.states.items()]
        save_drift(work.connection, version, rows, at)
