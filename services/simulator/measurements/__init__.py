"""Measurements of your own, from a file or from Prometheus, as a trace."""

from services.simulator.measurements.columns import ColumnChoice
from services.simulator.measurements.load import (
    Measurements,
    load_trace,
    read_file,
    read_prometheus,
)
from services.simulator.measurements.prometheus import DEFAULT_STEP_S, PrometheusRange

__all__ = [
    "DEFAULT_STEP_S",
    "ColumnChoice",
    "Measurements",
    "PrometheusRange",
    "load_trace",
    "read_file",
    "read_prometheus",
]
