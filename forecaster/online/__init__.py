"""Learning between fits: calibration, the hedge by the last value, drift."""
