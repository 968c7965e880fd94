"""In the engine's process: the Dynamo Planner as the loop's policy."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

from services.lab.arena.replay_loop import run_loop
from services.lab.arena.replay_records import requests_of, write_trace


class PlannerSide:
    """The Planner's own adapter, with what it asked for written down.

    Its adapter counts starting workers as if they were there. On Kubernetes the Planner knows
    which are ready and which are pending; with `starting_told` it does here too.
    """

    def __init__(self, adapter: Any, asked: dict[str, Any]) -> None:
        """Nothing decided yet."""
        self.adapter = adapter
        self.start_ms = min(asked["arrival_ms"])
        self.decided: list[dict[str, Any]] = []
        self.report: dict[str, Any] = {}
        if asked["planner"]["starting_told"]:
            build = adapter._build_tick_input
            adapter._build_tick_input = lambda tick, report: told_starting(
                build(tick, report), report
            )

    def initial_tick_ms(self) -> float:
        """When it is asked first."""
        return float(self.adapter.initial_tick_ms())

    def on_tick(self, report: dict[str, Any]) -> dict[str, Any]:
        """Ask it."""
        decision: dict[str, Any] = self.adapter.on_tick(report)
        counts = {"prefill": decision["target_prefill"], "decode": decision["target_decode"]}
        changed = {pool: count for pool, count in counts.items() if count is not None}
        if changed:
            self.decided.append({"at_ms": report["now_ms"] + self.start_ms, "counts": changed})
        return decision


def told_starting(tick_input: Any, report: dict[str, Any]) -> Any:
    """The Planner's input with worker counts as its Kubernetes connector gives them."""
    counts = tick_input.worker_counts
    if counts is None:
        return tick_input
    starting = [report[f"starting_{role}_count"] for role in ("prefill", "decode")]
    draining = [report[f"draining_{role}_count"] for role in ("prefill", "decode")]
    is_stable = not any(starting) and not any(draining)
    # What drains makes it unstable without anything pending: its connector says so too.
    pending = (0, 0) if any(draining) else starting
    return dataclasses.replace(
        tick_input,
        worker_counts=dataclasses.replace(
            counts,
            expected_num_prefill=counts.ready_num_prefill if is_stable else None,
            expected_num_decode=counts.ready_num_decode if is_stable else None,
            prefill_scaling_in_progress=not is_stable,
            decode_scaling_in_progress=not is_stable,
            pending_num_prefill=pending[0],
            pending_num_decode=pending[1],
        ),
    )


def check_settings(config: dict[str, Any]) -> None:
    """Refuse settings that the Planner does not have: it would leave them out without a word.

    Raises:
        ValueError: There is one.
    """
    from dynamo.planner.config.planner_config import PlannerConfig

    known = set(PlannerConfig.model_fields)
    unknown = sorted(set(config) - known)
    if unknown:
        raise ValueError(
            f"the Planner has no setting {unknown[0]}; it has {', '.join(sorted(known))}"
        )


def loop_planner(launches: dict[str, dict[str, Any]], asked: dict[str, Any]) -> dict[str, Any]:
    """Serve requests by as many workers as the Planner asks for."""
    from dynamo.replay.planner import planner_replay_adapter

    planner = asked["planner"]
    check_settings(planner["config"])
    with tempfile.TemporaryDirectory() as folder:
        config = dict(planner["config"])
        if planner["history"] is not None:
            path = Path(folder) / "history.jsonl"
            write_trace(path, requests_of(planner["history"]))
            config["load_predictor_warmup_trace"] = str(path)
        with planner_replay_adapter(
            extra_engine_args=launches.get("serve"),
            prefill_engine_args=launches.get("prefill"),
            decode_engine_args=launches.get("decode"),
            planner_config_arg=json.dumps(config),
            capture_details=False,
        ) as adapter:
            side = PlannerSide(adapter, asked)
            answer = run_loop(launches, asked, scaling_policy=side)
    pools = asked["initial"]
    for decision in side.decided:
        if "serve" in pools:
            decision["counts"] = {"serve": decision["counts"]["decode"]}
    return {**answer, "decided": side.decided}
