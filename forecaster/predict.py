"""The main flow: windows in, joint forecasts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from forecaster.config import ForecasterConfig
from forecaster.errors import HorizonError, NoObservations, ShapeError
from forecaster.features import one_alone
from forecaster.network.joint import JointCopula
from forecaster.network.model import (
    MIN_INCREMENT,
    ForecastNet,
    NetInputs,
    Vocabulary,
    net_inputs,
    raw_quantiles,
)
from forecaster.quantiles import interpolation_matrix, pit_and_log_density
from forecaster.trees.features import tree_inputs
from forecaster.trees.trees import NETWORK_ALONE, Trees, TreeShare, in_between
from forecaster.types import F32, F64, I64, Bool, Forecast, Windows

CHUNK = 256
MAX_SCORE = 4.0
"""Normal scores are clipped here: beyond it (3e-5) a PIT score says nothing."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A trained network as a `Predictor`.

    Args:
        net: The network, in evaluation mode.
        config: What it was made with.
        vocabulary: Names it knows.
        version: Digest that names these parameters.
        trees: Quantile trees that are averaged with the network; None: the network alone.
        tree_share: Weight of the trees in that average.
        joint: Dependence of the demand and further loads; None: trained without any of those.
    """

    net: ForecastNet
    config: ForecasterConfig
    vocabulary: Vocabulary
    version: str = "unversioned"
    name: str = field(default="model")
    trees: Trees | None = None
    tree_share: TreeShare = NETWORK_ALONE
    joint: JointCopula | None = None

    @property
    def n_parameters(self) -> int:
        """Parameters of the network and the joint flow, leaves and splits of the trees."""
        own = sum(p.numel() for p in self.net.parameters())
        own += 0 if self.joint is None else sum(p.numel() for p in self.joint.flow.parameters())
        return own + (0 if self.trees is None else self.trees.n_parameters)

    def predict(
        self, windows: Windows, horizon: int, n_paths: int, rng: np.random.Generator
    ) -> Forecast:
        """Quantiles and joint paths of the demand.

        Args:
            windows: B windows.
            horizon: Steps ahead, at most the model's own horizon.
            n_paths: Sample paths S.
            rng: Source of all randomness.

        Raises:
            HorizonError: If `horizon` is not in 1..H.
            NoObservations: If a row has no observed demand.
        """
        check_request(windows, horizon, self.config.window.horizon)
        levels = np.array(self.config.window.quantile_levels)
        quantiles, paths = [], []
        for start in range(0, len(windows), CHUNK):
            rows = windows.rows(np.arange(start, min(start + CHUNK, len(windows))))
            q, scores = self._scores(rows, n_paths, rng)
            quantiles.append(q)
            u = stratified(n_paths, self.config.window.horizon, rng)
            paths.append(paths_by_rank(q, levels, scores, u))
        return Forecast(
            windows.workloads,
            windows.origin_s,
            windows.step_s,
            levels,
            np.concatenate(quantiles)[..., :horizon],
            np.concatenate(paths)[..., :horizon],
            f"{self.name}:{self.version}",
            (self.name,) * len(windows),
            ("",) * len(windows),
        )

    def _scores(self, windows: Windows, n_paths: int, rng: np.random.Generator) -> tuple[F32, F32]:
        noise, u = base_noise(len(windows), n_paths, self.config.window.horizon, rng)
        inputs, normalised, encoding = self.marginals(windows, windows.demand_index[:, None])
        with torch.inference_mode():
            scores = self.net.flow.sample(noise, u, encoding[:, 0])
        quantiles = raw_quantiles(normalised, inputs)[:, 0]
        return np.maximum(quantiles, np.float32(0)), scores.numpy()

    def quantiles_of(self, windows: Windows, targets: I64) -> F32:
        """Quantiles of any indicators, `(B, G, Q, H)` for `targets` `(B, G)`, not clipped."""
        parts = []
        for start in range(0, len(windows), CHUNK):
            at = np.arange(start, min(start + CHUNK, len(windows)))
            inputs, normalised, _ = self.marginals(windows.rows(at), targets[at])
            parts.append(raw_quantiles(normalised, inputs))
        return np.concatenate(parts)

    def marginals(
        self, windows: Windows, targets: I64, mixed: Bool | None = None
    ) -> tuple[NetInputs, Tensor, Tensor]:
        """Inputs of the network, normalised quantiles `(B, G, H, Q)` and encodings `(B, G, E)`.

        Args:
            windows: B windows.
            targets: `(B, G)` indicators to forecast.
            mixed: `(B, G)` for which of them the trees are asked too; all when not given.

        Raises:
            ShapeError: If G is not 1 and the model knows no indicators: it reads one alone.
        """
        if not self.vocabulary.indicators:
            if targets.shape[1] != 1:
                raise ShapeError(f"targets has shape {targets.shape}; (B, 1) is right for a prior")
            windows, targets = one_alone(windows, targets[:, 0]), np.zeros_like(targets)
        inputs = net_inputs(windows, self.config, self.vocabulary, targets)
        with torch.inference_mode():
            normalised, encoding = self.net(inputs)
        if self.trees is None or self.tree_share.is_none:
            return inputs, normalised, encoding
        asked = np.ones(targets.shape, dtype=bool) if mixed is None else mixed
        levels, found = np.array(self.config.window.quantile_levels), normalised.numpy().copy()
        for g in np.flatnonzero(asked.any(axis=0)):
            at = np.flatnonzero(asked[:, g])
            rows, target = windows.rows(at), targets[at, g]
            location, scale = inputs.location[at, g].numpy(), inputs.scale[at, g].numpy()
            read = tree_inputs(rows, target, self.vocabulary, self.config.window)
            known = self.trees.quantiles(read, location, scale)
            own = np.swapaxes(found[at, g], 1, 2)
            both = averaged(own, known, self.trees.levels, self.tree_share, levels)
            found[at, g] = np.swapaxes(both, 1, 2)
        return inputs, torch.from_numpy(found), encoding

    def log_prob(self, windows: Windows, actual: F32) -> F64:
        """Exact joint log density of what happened, `(B,)`, per raw unit of demand to the H.

        Args:
            windows: B windows.
            actual: `(B, H)` over the model's whole horizon, all observed.
        """
        levels = np.array(self.config.window.quantile_levels)
        inputs, normalised, encoding = self.marginals(windows, windows.demand_index[:, None])
        with torch.inference_mode():
            location, scale = inputs.location.numpy(), inputs.scale.numpy()
            u, log_density = pit_and_log_density(
                normalised[:, 0].transpose(1, 2).numpy(), levels, (actual - location) / scale
            )
            copula = self.net.flow.log_copula(normal_scores(u), encoding[:, 0]).numpy()
        log_det = -actual.shape[1] * np.log(scale[:, 0].astype(np.float64))
        return np.asarray(log_density.sum(axis=1) + copula + log_det, dtype=np.float64)


def averaged(
    network: F32, known: F32, known_levels: Sequence[float], share: TreeShare, levels: F64
) -> F32:
    """Average the quantiles of network and trees.

    The average of quantile functions is one (Vincentization). Where its weights differ between
    levels it could fall, and is held to the network's least increment.

    Args:
        network: `(B, Q, H)`, normalised.
        known: `(B, K, H)` of the trees, in the same unit.
        known_levels: K levels of the trees.
        share: Weight of the trees.
        levels: `(Q,)`.
    """
    theirs = in_between(known, known_levels, network, levels)
    climb = MIN_INCREMENT * np.arange(levels.size, dtype=np.float32)[:, None]
    both = network + share.at(levels)[:, None] * (theirs - network) - climb
    return np.asarray(np.maximum.accumulate(both, axis=1) + climb, dtype=np.float32)


def check_request(windows: Windows, horizon: int, reach: int) -> None:
    """Refuse a horizon out of reach and rows without any observed demand."""
    if not 1 <= horizon <= reach:
        raise HorizonError(f"horizon={horizon} must be in 1..{reach}")
    has_demand = np.asarray(windows.demand()[1].any(axis=1))
    if not has_demand.all():
        missing = [w for w, seen in zip(windows.workloads, has_demand, strict=True) if not seen]
        raise NoObservations(f"no observed demand in the context of {missing[:5]}")


def normal_scores(u: F64) -> torch.Tensor:
    """Normal scores of PIT scores, clipped, as float32."""
    scores = torch.special.ndtri(torch.from_numpy(u))
    clipped: torch.Tensor = scores.clamp(-MAX_SCORE, MAX_SCORE).to(torch.float32)
    return clipped


def base_noise(
    n_rows: int, n_paths: int, n_dimensions: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Randomness that the flow samples from: normals `(B, S, D)` and uniforms `(B, S)`.

    The uniforms of a row fall one into each of S equal strata, in random order, so that the share
    of paths per scale is that of the flow.
    """
    noise = rng.standard_normal((n_rows, n_paths, n_dimensions), dtype=np.float32)
    order = rng.random((n_rows, n_paths), dtype=np.float32).argsort(axis=1)
    u = (order + rng.random((n_rows, n_paths), dtype=np.float32)) / np.float32(n_paths)
    return torch.from_numpy(noise), torch.from_numpy(u.astype(np.float32))


def stratified(n_paths: int, horizon: int, rng: np.random.Generator) -> F64:
    """Increasing points `(S, H)`, one in each of S equal strata, drawn anew for every step.

    Were they the same at all steps, the luck of the last stratum would carry to the maximum of
    every path; drawn per step it averages out.
    """
    u = (np.arange(n_paths)[:, None] + rng.random((n_paths, horizon))) / n_paths
    return np.asarray(np.clip(u, 1e-6, 1 - 1e-6), dtype=np.float64)


def paths_by_rank(quantiles: F32, levels: F64, scores: F32, u: F64) -> F32:
    """Paths whose dependence is that of `scores` and whose marginals are exactly `quantiles`.

    The S values of a step are the quantile function at the increasing points `u`; the scores only
    say which path gets which value (Schaake shuffle, Clark et al., 2004).

    Args:
        quantiles: `(B, Q, H)`.
        levels: `(Q,)`.
        scores: `(B, S, H)`.
        u: `(S,)` or `(S, H)`, increasing along S in (0, 1).

    Returns:
        `(B, S, H)`, >= 0.
    """
    n_rows, n_paths, horizon = scores.shape
    columns = np.broadcast_to(u[:, None] if u.ndim == 1 else u, (n_paths, horizon))
    paths = np.empty((n_rows, horizon, n_paths), dtype=np.float32)
    by_step = np.ascontiguousarray(scores.transpose(0, 2, 1))
    order = np.argsort(by_step, axis=2)
    for step in range(horizon):
        matrix = interpolation_matrix(levels, columns[:, step])
        values = np.maximum(quantiles[:, :, step] @ matrix.T, np.float32(0))
        np.put_along_axis(paths[:, step], order[:, step], values, axis=1)
    return np.ascontiguousarray(paths.transpose(0, 2, 1))
