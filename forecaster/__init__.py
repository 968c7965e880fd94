"""The forecaster: the last C steps of a workload's indicators in, a joint distribution out.

Pure: arrays, configuration and generators are arguments; nothing here reads a clock, a file or the
network. Start reading at `predict.py` (the main flow) and `types.py`.

Shells import from here only. A name is loaded when it is first asked for, so that `import
forecaster` needs neither torch nor LightGBM.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forecaster.choice.baselines import POOLS, SHORT_HISTORY_RUNG, Baseline, BestSimple
    from forecaster.choice.comparison import MODEL, Comparison, Predictor, compare
    from forecaster.choice.joint_paths import JointPaths, further_quantiles, joint_paths
    from forecaster.choice.ladder import MODEL_RUNG, PRIOR_RUNG, STALE_RUNG, Ladder, LadderForecast
    from forecaster.config import DAY_S, ForecasterConfig, WindowConfig
    from forecaster.dataset import actuals, origins_between
    from forecaster.errors import CheckpointError, ForecasterError, HistoryTooShort
    from forecaster.features import (
        build_windows,
        gather_windows,
        is_readable,
        window_offsets,
        windows_from_offsets,
    )
    from forecaster.metrics import below_shares, crps_of_quantiles, pinball
    from forecaster.online.calibration import Calibration, largest_seen
    from forecaster.online.drift import DriftTest, DriftVerdict, worst_drift
    from forecaster.online.drift_input import (
        REFIT_KINDS,
        InputDriftConfig,
        InputReference,
        input_reference,
        input_verdicts,
    )
    from forecaster.online.hedge import HEDGE_GROUPS, Experts, Hedge, HedgeState
    from forecaster.online.learner import Outcome
    from forecaster.online.offsets import CalibrationState
    from forecaster.online.replay import replay
    from forecaster.predict import TrainedModel
    from forecaster.pretrain.demand import made_up_demand
    from forecaster.pretrain.prior import PriorResult, fit_prior, prior_config, trace_views
    from forecaster.training.checkpoint import model_from_bytes, model_to_bytes
    from forecaster.training.fit import STAGES, FitProgress, FitReport, FitResult, fit
    from forecaster.types import Forecast, Series, Windows

_EXPORTS = {
    "forecaster.choice.baselines": "POOLS SHORT_HISTORY_RUNG Baseline BestSimple",
    "forecaster.choice.comparison": "MODEL Comparison Predictor compare",
    "forecaster.choice.joint_paths": "JointPaths further_quantiles joint_paths",
    "forecaster.choice.ladder": "MODEL_RUNG PRIOR_RUNG STALE_RUNG Ladder LadderForecast",
    "forecaster.config": "DAY_S ForecasterConfig WindowConfig",
    "forecaster.dataset": "actuals origins_between",
    "forecaster.errors": "CheckpointError ForecasterError HistoryTooShort",
    "forecaster.features": (
        "build_windows gather_windows is_readable window_offsets windows_from_offsets"
    ),
    "forecaster.metrics": "below_shares crps_of_quantiles pinball",
    "forecaster.online.calibration": "Calibration largest_seen",
    "forecaster.online.drift": "DriftTest DriftVerdict worst_drift",
    "forecaster.online.drift_input": (
        "REFIT_KINDS InputDriftConfig InputReference input_reference input_verdicts"
    ),
    "forecaster.online.hedge": "HEDGE_GROUPS Experts Hedge HedgeState",
    "forecaster.online.learner": "Outcome",
    "forecaster.online.offsets": "CalibrationState",
    "forecaster.online.replay": "replay",
    "forecaster.predict": "TrainedModel",
    "forecaster.pretrain.demand": "made_up_demand",
    "forecaster.pretrain.prior": "PriorResult fit_prior prior_config trace_views",
    "forecaster.training.checkpoint": "model_from_bytes model_to_bytes",
    "forecaster.training.fit": "STAGES FitProgress FitReport FitResult fit",
    "forecaster.types": "Forecast Series Windows",
}
"""Module to its names, parted by spaces."""
_MODULES = {name: module for module, names in _EXPORTS.items() for name in names.split()}

__all__ = [
    "DAY_S",
    "HEDGE_GROUPS",
    "MODEL",
    "MODEL_RUNG",
    "POOLS",
    "PRIOR_RUNG",
    "REFIT_KINDS",
    "SHORT_HISTORY_RUNG",
    "STAGES",
    "STALE_RUNG",
    "Baseline",
    "BestSimple",
    "Calibration",
    "CalibrationState",
    "CheckpointError",
    "Comparison",
    "DriftTest",
    "DriftVerdict",
    "Experts",
    "FitProgress",
    "FitReport",
    "FitResult",
    "Forecast",
    "ForecasterConfig",
    "ForecasterError",
    "Hedge",
    "HedgeState",
    "HistoryTooShort",
    "InputDriftConfig",
    "InputReference",
    "JointPaths",
    "Ladder",
    "LadderForecast",
    "Outcome",
    "Predictor",
    "PriorResult",
    "Series",
    "TrainedModel",
    "WindowConfig",
    "Windows",
    "actuals",
    "below_shares",
    "build_windows",
    "compare",
    "crps_of_quantiles",
    "fit",
    "fit_prior",
    "further_quantiles",
    "gather_windows",
    "input_reference",
    "input_verdicts",
    "is_readable",
    "joint_paths",
    "largest_seen",
    "made_up_demand",
    "model_from_bytes",
    "model_to_bytes",
    "origins_between",
    "pinball",
    "prior_config",
    "replay",
    "trace_views",
    "window_offsets",
    "windows_from_offsets",
    "worst_drift",
]

if not TYPE_CHECKING:  # with it, a type checker would take any name for an export

    def __getattr__(name: str) -> Any:
        """Load an export from its module.

        Raises:
            AttributeError: If there is no such export.
        """
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)
