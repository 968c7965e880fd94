"""Prints the constants of `calibration` from the public traces: run it with `--data DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from services.simulator.fleet.arrays import FloatArray


def _column(path: Path, name: str) -> FloatArray:
    table = pq.read_table(path, columns=[name])
    return np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=float)


def _log_sigma(sample: FloatArray, percentile: float, z: float) -> float:
    """Log standard deviation from the median to `percentile`, which lies `z` deviations above."""
    low, high = np.percentile(sample, [50, percentile])
    return float(np.log(high / low) / z)


def fit_constants(data: Path) -> dict[str, float | tuple[float, ...]]:
    """Fit every constant of `calibration`.

    Args:
        data: Folder with `gentd26_*` and `servegen` parquet files.

    Raises:
        FileNotFoundError: If one of them is missing.
    """
    samples = data / "gentd26_latency_samples.parquet"
    component = np.asarray(pq.read_table(samples, columns=["component"])["component"].to_pylist())
    latency_s = _column(samples, "latency_ms") / 1e3
    load_s = latency_s[(component == "basemodel_load") & (latency_s > 0)]
    wait_s = latency_s[component == "queue_time"]
    end_s = latency_s[component == "end_to_end_inference"]

    fleet = data / "gentd26_fleet.parquet"
    tail = _column(fleet, "l1_e2e_latency_p95_ms") / _column(fleet, "l1_e2e_latency_p50_ms")
    tail = tail[np.isfinite(tail)]
    memory = _column(fleet, "l3_gpu_memory_mean_gib")
    pod_duty = _column(data / "gentd26_pods.parquet", "l3_gpu_duty_pct")
    quartile_spread = np.log(np.divide(*np.percentile(tail, [75, 50])))
    return {
        "BASE_MODEL_LOAD_MEDIAN_S": float(np.median(load_s)),
        "BASE_MODEL_LOAD_SIGMA": _log_sigma(load_s, 95, 1.645),
        "QUEUE_WAIT_MEDIAN_S": float(np.median(wait_s)),
        "QUEUE_WAIT_SIGMA": _log_sigma(wait_s, 95, 1.645),
        "DIFFUSION_LATENCY_MEDIAN_S": float(np.median(end_s)),
        "LATENCY_TAIL_RATIO": float(np.median(tail)),
        "LATENCY_TAIL_SIGMA": float(quartile_spread / 0.6745),
        "DUTY_SIGMA": _log_sigma(pod_duty[pod_duty > 0], 75, 0.6745),
        "DIFFUSION_GPU_MEMORY_GIB": float(np.nanmean(memory)),
        **_servegen_shape(data / "servegen.parquet"),
    }


def _servegen_shape(path: Path) -> dict[str, float | tuple[float, ...]]:
    workload = np.asarray(pq.read_table(path, columns=["workload"])["workload"].to_pylist())
    tokens = _column(path, "l1_output_tokens_per_s")
    changes, ranges = [], []
    for name in ("m-large", "m-mid"):
        log = np.log(np.maximum(tokens[workload == name], 1e-9))
        step = np.abs(np.diff(log))
        changes.append(step[np.isfinite(step) & (step < 5)])
        day = np.nanmedian(log[: 14 * 144].reshape(14, 144), axis=0)
        ranges.append(float(np.nanmax(day) - np.nanmin(day)))
    quantiles = np.percentile(np.concatenate(changes), [50, 95, 99])
    return {
        "STEP_CHANGE_LOG": tuple(float(q) for q in quantiles),
        "DAILY_RANGE_LOG": (min(ranges), max(ranges)),
    }


def main() -> None:
    """Print one constant per line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public traces")
    for name, value in fit_constants(parser.parse_args().data).items():
        numbers = value if isinstance(value, tuple) else (value,)
        print(f"{name} = {', '.join(f'{number:.3f}' for number in numbers)}")


if __name__ == "__main__":
    main()
