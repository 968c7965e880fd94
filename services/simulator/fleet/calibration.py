"""Constants fitted to public traces. The data are never stored; these numbers are.

Printed by `python -m services.simulator.fleet.calibrate --data DIR` from `gentd26_*` (Alibaba
GenTD26, Stable-Diffusion serving) and `servegen` (Alibaba Model Studio, LLM serving).
"""

from __future__ import annotations

# gentd26_latency_samples
BASE_MODEL_LOAD_MEDIAN_S = 22.9
"""Median load of a base model inside a running pod: the main part of a cold start."""
BASE_MODEL_LOAD_SIGMA = 0.42
"""Log standard deviation from the median to the 95th percentile (45.5 s)."""
QUEUE_WAIT_MEDIAN_S = 0.203
"""Median queueing time below saturation."""
QUEUE_WAIT_SIGMA = 0.49
"""Log standard deviation of the queueing time, median to 95th percentile (0.45-0.6 s)."""
DIFFUSION_LATENCY_MEDIAN_S = 15.1
"""Median end-to-end time of an image request."""

# gentd26_fleet, gentd26_pods
LATENCY_TAIL_RATIO = 1.85
"""Median over ticks of p95 / p50 of the end-to-end latency."""
LATENCY_TAIL_SIGMA = 0.53
"""Log standard deviation of that ratio upwards, median to 75th percentile."""
DUTY_SIGMA = 0.51
"""Log standard deviation of the duty of a busy pod, median to 75th percentile."""
DIFFUSION_GPU_MEMORY_GIB = 22.8
"""Mean memory in use per GPU."""

# servegen, ten-minute steps
STEP_CHANGE_LOG = (0.084, 0.574, 0.961)
"""p50, p95, p99 of |log change| of output tokens/s between steps of whole services."""
DAILY_RANGE_LOG = (0.70, 1.41)
"""Largest minus smallest log of the median day, for the two whole services."""
