"""The shipped forecaster with one part left out: trained once, every arm made of the same parts.

Arms differ in which learners are averaged, what the quality gate may choose, and which online
correction runs. Quantiles of every learner are made once; dependence between steps is always that
of the shipped flow.

Shapes: B windows, G = 1 target, Q levels, H steps, S paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from decider import DecideConfig
from forecaster.choice.backtest import thin
from forecaster.dataset import Origins
from forecaster.features import gather_windows
from forecaster.network.model import raw_quantiles
from forecaster.online.calibration import Calibration
from forecaster.online.hedge import Hedge
from forecaster.predict import TrainedModel, averaged, base_noise, paths_by_rank, stratified
from forecaster.quantiles import shift_paths
from forecaster.trees.features import tree_inputs
from forecaster.trees.trees import NETWORK_ALONE, TreeShare
from forecaster.types import Windows
from services.kernel.clock import make_rng
from services.lab.bench.ablate.decider_arms import BASE, LEAN
from services.lab.bench.decide.forecasts import N_PATHS, replayed_origins
from services.lab.bench.decide.task import DecideTask
from services.lab.bench.forecast.arm import LEVELS, Tell
from services.lab.bench.forecast.own_arms import CHUNK, FittedModel
from services.lab.bench.forecast.shipped_arm import (
    MODEL,
    FittedShipped,
    OnlineState,
    chosen_by_gate,
    simple_quantiles,
)
from services.lab.bench.forecast.task import BenchTask
from services.simulator.fleet.arrays import F32Array

MAX_JUDGED = 500
"""Origins per workload that the gate judges on."""
MAX_STEPS_KEPT = 7
"""Steps of every path that decisions read, at most."""
TREES_ALONE = TreeShare(1.0, 1.0)


@dataclass(frozen=True, slots=True)
class ForecastArm:
    """One arm.

    Attributes:
        about: What is left out, for tables.
        learner: Which average of learners stands for the model.
        has_gate: Whether the quality gate may choose a simple forecaster.
        is_hedged: Whether the last value is mixed in online.
        is_calibrated: Whether quantiles are corrected online.
        decides: Whether its forecasts are decided with too.
        config: Settings of the decision stage that they are decided with.
    """

    about: str
    learner: str = "model"
    has_gate: bool = True
    is_hedged: bool = True
    is_calibrated: bool = True
    decides: bool = True
    config: DecideConfig = BASE


HARMONY = ForecastArm("nothing")
FORECAST_ARMS: Mapping[str, ForecastArm] = {
    "uncalibrated": ForecastArm("online calibration", is_calibrated=False),
    "unhedged": ForecastArm("the hedge by the last value", is_hedged=False),
    "not_online": ForecastArm("calibration and hedge", is_calibrated=False, is_hedged=False),
    "ungated": ForecastArm("the quality gate", has_gate=False),
    "no_trees": ForecastArm("the trees", learner="network"),
    "no_network": ForecastArm("the network, but for paths", learner="trees", decides=False),
    "lean_both": ForecastArm(
        "the quality gate, and what `lean` leaves out", has_gate=False, config=LEAN
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Everything that the arms are made of.

    Attributes:
        judged: J origins of validation, evenly spread, that the gate judges on.
        replayed: R origins that follow each other, from late in validation to the counted end.
        learners: Name to (J + R, 1, Q, H) quantiles.
        simple: The simple forecasters' quantiles, likewise.
        paths: (R, S, K) paths of the shipped model at the replayed origins, K steps of each.
    """

    judged: Origins
    replayed: Origins
    learners: dict[str, F32Array]
    simple: list[F32Array]
    paths: F32Array


def make_parts(task: DecideTask, model: TrainedModel, seed: int, tell: Tell) -> Parts:
    """Forecast every origin with every learner."""
    bench = task.forecast
    judged, replayed = thin(bench.validation_origins(), MAX_JUDGED), _replayed(task)
    origins = Origins(
        np.concatenate([judged.which, replayed.which]),
        np.concatenate([judged.position, replayed.position]),
    )
    n_judged = judged.which.size
    rng = make_rng(seed, "bench", "ablate")
    found: dict[str, list[F32Array]] = {}
    paths = []
    for start in range(0, origins.which.size, CHUNK):
        if start % (8 * CHUNK) == 0:
            tell(f"forecasting window {start} of {origins.which.size}")
        at = np.arange(start, min(start + CHUNK, origins.which.size))
        own = origins.take(at)
        windows = gather_windows(bench.series, own.which, own.position, bench.window)
        learners, encoding = learner_quantiles(model, windows)
        for name, quantiles in learners.items():
            found.setdefault(name, []).append(quantiles[:, None])
        rows = np.flatnonzero(at >= n_judged)
        if rows.size:
            paths.append(_paths(model, learners["model"][rows], encoding[rows], rng))
    tell("simple forecasters")
    return Parts(
        judged,
        replayed,
        {name: np.concatenate(parts) for name, parts in found.items()},
        simple_quantiles(bench, origins, rng),
        np.concatenate(paths),
    )


def _replayed(task: DecideTask) -> Origins:
    """Origins of late validation, as far as the prelude reaches back, and of the counted part."""
    found = replayed_origins(task)
    first = np.array(task.forecast.validation_ends) - task.n_prelude
    return found.take(np.flatnonzero(found.position + 1 >= first[found.which]))


def learner_quantiles(
    model: TrainedModel, windows: Windows
) -> tuple[dict[str, F32Array], torch.Tensor]:
    """(B, Q, H) quantiles of the demand by learner, and the encodings (B, E) for paths."""
    levels = np.array(model.config.window.quantile_levels)
    inputs, normalised, encoding = replace(model, tree_share=NETWORK_ALONE).marginals(
        windows, windows.demand_index[:, None]
    )
    network = normalised[:, 0].transpose(1, 2).numpy()
    mixed = {"model": network, "trees": network, "network": network}
    if model.trees is not None:
        target = windows.demand_index
        location, scale = inputs.location[:, 0].numpy(), inputs.scale[:, 0].numpy()
        read = tree_inputs(windows, target, model.vocabulary, model.config.window)
        known = (model.trees.quantiles(read, location, scale), model.trees.levels)
        mixed["model"] = averaged(network, *known, model.tree_share, levels)
        mixed["trees"] = averaged(network, *known, TREES_ALONE, levels)
    found = {}
    for name, quantiles in mixed.items():
        by_level = torch.from_numpy(quantiles).transpose(1, 2)[:, None]
        found[name] = np.maximum(raw_quantiles(by_level, inputs)[:, 0], np.float32(0))
    return found, encoding[:, 0]


def _paths(
    model: TrainedModel, quantiles: F32Array, encoding: torch.Tensor, rng: np.random.Generator
) -> F32Array:
    """(R, S, K) joint paths as the shipped model draws them."""
    horizon = model.config.window.horizon
    noise, u = base_noise(len(quantiles), N_PATHS, horizon, rng)
    with torch.inference_mode():
        scores = model.net.flow.sample(noise, u, encoding).numpy()
    points = stratified(N_PATHS, horizon, rng)
    levels = np.array(model.config.window.quantile_levels)
    return paths_by_rank(quantiles, levels, scores, points)[:, :, :MAX_STEPS_KEPT]


def issued(task: BenchTask, parts: Parts, arm: ForecastArm, model: TrainedModel) -> F32Array:
    """(R, Q, H) quantiles of an arm at the replayed origins, as they would have been issued."""
    members = [parts.learners[arm.learner], *parts.simple]
    n_judged = parts.judged.which.size
    choice = np.full(task.targets.size, MODEL)
    if arm.has_gate:
        choice = chosen_by_gate(task, parts.judged, [m[:n_judged] for m in members])
    names = [str(cell) for cell in range(task.targets.size)]
    online = OnlineState(
        Hedge().empty_state(names) if arm.is_hedged else None,
        Calibration(LEVELS).empty_state(names) if arm.is_calibrated else None,
    )
    fitted = FittedShipped(FittedModel(model, 0), choice, online)
    quantiles, _ = fitted.issued(task, parts.replayed, [m[n_judged:] for m in members])
    return np.ascontiguousarray(quantiles[:, 0])


def shifted_paths(parts: Parts, quantiles: F32Array) -> F32Array:
    """(R, S, K) paths of an arm with these quantiles; they keep the ranks of the shipped ones."""
    n_kept = parts.paths.shape[2]
    base = parts.learners["model"][parts.judged.which.size :, 0]
    moved = shift_paths(parts.paths, base[..., :n_kept], quantiles[..., :n_kept])
    return np.maximum(moved, np.float32(0))
