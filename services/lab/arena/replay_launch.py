"""In the engine's process: which workers are replayed, and what the engine says of them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

PACKAGES = ("aisimulate", "ai-dynamo", "ai-dynamo-runtime")
ROLES = {"aggregated": ("aggregated",), "disaggregated": ("prefill", "decode")}
"""Roles of workers in each mode; those of the first make up the pool `serve`."""


def launch_of(asked: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Launch configurations of the workers of each pool, for a model, a GPU type and an engine.

    Raises:
        ValueError: The engine has no such profile; the message names those it has.
    """
    from aisimulate.compiler import prediction_to_replay_spec
    from aisimulate.config.cli import CorePredictionConfig
    from aisimulate.runner import materialize_engine_launch_config

    check_known(asked["model"], asked["gpu"])
    roles = ROLES[asked["mode"]]
    parallel = {"parallelism": {"tensor": asked["tensor_parallel"]}}
    config = {
        "mode": asked["mode"],
        "model": asked["model"],
        "hardware": asked["gpu"],
        "backend": asked["engine"],
        "workers": dict.fromkeys(roles, parallel),
    }
    whole = CorePredictionConfig.model_validate({"engine": config})
    found = prediction_to_replay_spec(whole).backend_deployment
    launches: dict[str, dict[str, Any]] = {}
    for role in roles:
        prefix = "agg" if role == "aggregated" else role
        launches["serve" if role == "aggregated" else role] = materialize_engine_launch_config(
            found.backend,
            found.backend_version,
            found.parallel_config,
            dict(getattr(found, f"{prefix}_engine_args")),
            role,
        )
    return launches


def check_known(model: str, gpu: str) -> None:
    """Refuse names that the profiles lack: the engine would try to fetch an unknown model.

    Raises:
        ValueError: Either is unknown.
    """
    found = importlib.util.find_spec("aisimulate_core")
    home = Path(found.origin or "").parent if found else Path()
    models = {path.name for path in (home / "model_configs").glob("*_config.json")}
    gpus = sorted(path.name for path in (home / "systems" / "data").iterdir() if path.is_dir())
    if f"{model.replace('/', '--')}_config.json" not in models:
        family = model.split("/")[-1].split("-")[0].lower()
        names = (name.removesuffix("_config.json").replace("--", "/") for name in sorted(models))
        near = [name for name in names if family in name.lower()][:6]
        hint = f"; it has {', '.join(near)}" if near else ""
        raise ValueError(f"--model={model}: the engine knows no such model{hint}")
    if gpu not in gpus:
        raise ValueError(f"--gpu={gpu}: must be one of {', '.join(gpus)}")


def about(launches: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the engine resolved, for the record: versions, memory, limits of one worker."""
    engine = launches.get("serve", launches.get("decode", {}))["engine"]
    return {
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "engine_version": engine["timing_model"]["config"]["backend_version"],
        "kv_tokens": engine["num_gpu_blocks"] * engine["block_size"],
        "max_model_tokens": engine["max_model_len"],
        "max_sequences": engine["max_num_seqs"],
        "max_batched_tokens": engine["max_num_batched_tokens"],
    }
