"""Preset of NVIDIA's dcgm-exporter: the GPUs, whatever runs on them."""

from __future__ import annotations

from services.kernel.domain.presets.promql import PODS
from services.kernel.domain.presets.shape import Preset, PresetIndicator as Indicator

_PERCENT = 100
_MIB_PER_GIB = 1024
_PROFILING = "DCGM_FI_PROF_{} in the exporter's counters file, and a GPU with profiling"

DCGM = Preset(
    name="dcgm",
    program="NVIDIA dcgm-exporter",
    sources=(
        "NVIDIA/dcgm-exporter 00d6d344ea4a README.md",
        "NVIDIA/dcgm-exporter 00d6d344ea4a etc/default-counters.csv",
    ),
    place="replica",
    counts="nothing",
    marks=("DCGM_FI_DEV_GPU_UTIL",),
    demands=(),
    indicators=(
        Indicator(
            "gpu_duty_ratio",
            3,
            "ratio",
            (f"{PODS.mean('DCGM_FI_DEV_GPU_UTIL')[0]} / {_PERCENT}",),
        ),
        Indicator(
            "sm_active_ratio",
            3,
            "ratio",
            PODS.mean("DCGM_FI_PROF_SM_ACTIVE"),
            _PROFILING.format("SM_ACTIVE"),
        ),
        Indicator(
            "tensor_active_ratio",
            3,
            "ratio",
            PODS.mean("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"),
            _PROFILING.format("PIPE_TENSOR_ACTIVE"),
        ),
        Indicator(
            "gpu_memory_gib",
            3,
            "GiB",
            (f"{PODS.sum_mean('DCGM_FI_DEV_FB_USED')[0]} / {_MIB_PER_GIB}",),
        ),
        Indicator("gpu_power_w", 3, "W", PODS.sum_mean("DCGM_FI_DEV_POWER_USAGE")),
    ),
)
