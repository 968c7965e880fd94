"""Trees for models that a test trains: the defaults take ten times as long as a small network."""

from __future__ import annotations

from forecaster.config import TreeConfig

FEW_TREES = TreeConfig(max_windows=500, max_validation_windows=200, max_trees=12, patience=4)
