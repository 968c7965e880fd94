"""One GPU budget for many workloads."""
