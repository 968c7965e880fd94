"""The shipped forecaster with one part left out: trained once, every arm made of the same parts.

Arms differ in which learners are averaged and which online correction runs. Quantiles of every
learner are made once; dependence between steps is always that of the shipped flow.

Shapes: B windows, G = 1 target, Q levels, H steps, S paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

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
from services.lab.bench.decide.forecasts import N_PATHS, replayed_origins
from services.lab.bench.decide.task import DecideTask
from services.lab.bench.forecast.arm import LEVELS, Tell
from services.lab.bench.forecast.own_arms import CHUNK, FittedModel
from services.lab.bench.forecast.shipped_arm import (
    FittedShipped,
    OnlineState,
    Said,
    last_value_quantiles,
)
from services.lab.bench.forecast.task import BenchTask
from services.simulator.fleet.arrays import F32Array

MAX_STEPS_KEPT = 7
"""Steps of every path that decisions read, at most."""
TREES_ALONE = TreeShare(1.0, 1.0)


@dataclass(frozen=True, slots=True)
class ForecastArm:
    """One arm.

    Attributes:
        about: What is left out, for tables.
        learner: Which average of learners stands for the model.
        is_hedged: Whether the last value is mixed in online.
        is_calibrated: Whether quantiles are corrected online.
        decides: Whether its forecasts are decided with too.
    """

    about: str
    learner: str = "model"
    is_hedged: bool = True
    is_calibrated: bool = True
    decides: bool = True


HARMONY = ForecastArm("nothing")
FORECAST_ARMS: Mapping[str, ForecastArm] = {
    "uncalibrated": ForecastArm("online calibration", is_calibrated=False),
    "unhedged": ForecastArm("the hedge by the last value", is_hedged=False),
    "not_online": ForecastArm("calibration and hedge", is_calibrated=False, is_hedged=False),
    "no_trees": ForecastArm("the trees", learner="network"),
    "no_network": ForecastArm("the network, but for paths", learner="trees", decides=False),
}


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Everything that the arms are made of.

    Attributes:
        replayed: R origins that follow each other, from late in validation to the counted end.
        learners: Name to (R, 1, Q, H) quantiles.
        last_value: Those of the last value.
        paths: (R, S, K) paths of the shipped model, K steps of each.
    """

    replayed: Origins
    learners: dict[str, F32Array]
    last_value: F32Array
    paths: F32Array


def make_parts(task: DecideTask, model: TrainedModel, seed: int, tell: Tell) -> Parts:
    """Forecast every origin with every learner."""
    bench = task.forecast
    origins = _replayed(task)
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
        paths.append(_paths(model, learners["model"], encoding, rng))
    return Parts(
        origins,
        {name: np.concatenate(parts) for name, parts in found.items()},
        last_value_quantiles(bench, origins),
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
    names = [str(cell) for cell in range(task.targets.size)]
    online = OnlineState(
        Hedge().empty_state(names) if arm.is_hedged else None,
        Calibration(LEVELS).empty_state(names) if arm.is_calibrated else None,
    )
    said = Said(parts.learners[arm.learner], parts.last_value)
    quantiles, _ = FittedShipped(FittedModel(model, 0), online).issued(task, parts.replayed, said)
    return np.ascontiguousarray(quantiles[:, 0])


def shifted_paths(parts: Parts, quantiles: F32Array) -> F32Array:
    """(R, S, K) paths of an arm with these quantiles; they keep the ranks of the shipped ones."""
    n_kept = parts.paths.shape[2]
    base = parts.learners["model"][:, 0]
    moved = shift_paths(parts.paths, base[..., :n_kept], quantiles[..., :n_kept])
    return np.maximum(moved, np.float32(0))
