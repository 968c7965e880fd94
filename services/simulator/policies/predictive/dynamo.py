"""The planner of NVIDIA Dynamo on a single pool: a predictor, a profile, and an optional load loop.

The throughput loop predicts the demand one interval ahead and takes `ceil(prediction / c_eff)`
replicas, `c_eff = target_ratio * capacity` being the profile's throughput at the SLA. An interval
is a step here (180 s in the original), whatever the lead time. In releases with a load loop that
result is a floor, and the loop moves the count by one at a time.

The ARIMA predictor is a stand-in for the original's automatic order search: see
`services.simulator.policies.predictive.dynamo_predictors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np

from services.simulator.policies.grid import FloatArray, GridView, Knob, column, count_settings
from services.simulator.policies.knobs import knob_value, require_within
from services.simulator.policies.predictive.dynamo_predictors import (
    Predictor,
    PredictorState,
    predict_next,
)

CONSOLIDATION_RATIO = 0.8
"""A replica is given up only if utilisation is below this, now and on the replicas left."""

_SLACK = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class DynamoPlanner:
    """`n = max(ceil(prediction / (target_ratio * c)), floor)`.

    With the load loop, once per step (every 5 s in the original): +1 if the last step's demand
    exceeded `c_eff` on every ready replica, the utilisation at which latency leaves the SLA; -1 if
    utilisation is below 0.8 and stays below 0.8 on one replica fewer; nothing while starts are
    pending or the last demand is unknown. The throughput loop's count is its floor.

    Following the description, an unknown step counts as zero for the predictor. A workload that
    was never observed holds.

    Attributes:
        target_ratio: Usable share of a replica's capacity (the knob).
        min_endpoint: Fewest replicas planned.
        predictor: The same in all settings.
        refit_steps: Steps between fits of the ARIMA stand-in.
        has_load_loop: Whether the load loop runs.
        name: Name in tables; by default with the predictor.
    """

    target_ratio: Knob = 0.8
    min_endpoint: Knob = 1.0
    predictor: Predictor = "kalman"
    refit_steps: int = 10
    has_load_loop: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        """Check the knobs."""
        require_within("target_ratio", self.target_ratio, 0.0)
        require_within("min_endpoint", self.min_endpoint, 0.0, is_low_open=False)
        if self.predictor not in get_args(Predictor):
            raise ValueError(f"predictor={self.predictor} must be one of {get_args(Predictor)}")
        if self.refit_steps < 1:
            raise ValueError(f"refit_steps={self.refit_steps} must be >= 1")
        _ = self.n_settings
        if not self.name:
            loop = "_load" if self.has_load_loop else ""
            object.__setattr__(self, "name", f"dynamo_{self.predictor}{loop}")

    @property
    def n_settings(self) -> int:
        """See `GridPolicy`."""
        return count_settings(self.target_ratio, self.min_endpoint)

    def label(self, setting: int) -> str:
        """See `GridPolicy`."""
        loop = " with load loop" if self.has_load_loop else ""
        percent = 100 * knob_value(self.target_ratio, setting)
        return f"{self.predictor} at {percent:.4g} % of capacity{loop}"

    def initial_state(self) -> PredictorState | None:
        """Nothing seen."""
        return None

    def decide(
        self, view: GridView, state: PredictorState | None
    ) -> tuple[FloatArray, PredictorState]:
        """Replicas for the predicted step, or the load loop's above them."""
        prediction, after = predict_next(view, self.predictor, self.refit_steps, state)
        planned = view.replicas_for(prediction / column(self.target_ratio))
        planned = np.maximum(planned, column(self.min_endpoint))
        if self.has_load_loop:
            planned = np.fmax(planned, view.replicas + self._load_step(view))
        return view.answer(planned), after

    def _load_step(self, view: GridView) -> FloatArray:
        """(G, W) -1, 0 or +1 replica by the last step's utilisation; 0 where it is unknown."""
        usable = column(self.target_ratio) * view.capacity
        load = view.last_demand() / usable
        is_high = load > view.ready * (1.0 + _SLACK)
        # utilisation * N / (N - 1) < 0.8 is load / (N - 1) < 0.8, which implies load / N < 0.8
        is_low = load < CONSOLIDATION_RATIO * (view.ready - 1.0) * (1.0 - _SLACK)
        step = np.where(is_high, 1.0, np.where(is_low, -1.0, 0.0))
        settled: FloatArray = np.where(view.starting > 0, 0.0, step)
        return settled
