"""Named errors of the forecaster.

Every message names the field, the value found and what would be right.
"""

from __future__ import annotations


class ForecasterError(Exception):
    """Root of all errors that this package raises on purpose."""


class ShapeError(ForecasterError, ValueError):
    """An array has the wrong shape or type."""


class ConfigError(ForecasterError, ValueError):
    """A configuration value is outside its range."""


class IrregularSteps(ForecasterError, ValueError):
    """Timestamps are unsorted, repeated or off the step grid."""


class UnknownLevel(ForecasterError, ValueError):
    """An indicator's hierarchy level is not 1 (service), 2 (container) or 3 (hardware)."""


class UnknownDemand(ForecasterError, ValueError):
    """The demand indicator is not among the indicators of the series."""


class UnknownLoad(ForecasterError, ValueError):
    """A further load is not among the indicators of the series, or cannot be a load."""


class NoObservations(ForecasterError, ValueError):
    """There is no observed value of the demand to forecast from."""


class HistoryTooShort(ForecasterError, ValueError):
    """There are not enough steps to train, validate or back-test."""


class HorizonError(ForecasterError, ValueError):
    """A forecast was asked further ahead than the predictor reaches."""


class TrainingDiverged(ForecasterError, RuntimeError):
    """The training loss stopped being finite or exploded."""


class CheckpointError(ForecasterError, ValueError):
    """Bytes are not a checkpoint of this package."""


class CheckpointVersionError(CheckpointError):
    """The checkpoint was written by another format version."""
