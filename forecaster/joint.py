"""Joint forecasts of several indicators: their marginals and one flow over all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from forecaster.errors import NoObservations
from forecaster.network.flow import FlowCopula, Scores
from forecaster.network.model import NetInputs, raw_quantiles
from forecaster.predict import TrainedModel, base_noise, normal_scores, paths_by_rank, stratified
from forecaster.quantiles import pit_and_log_density
from forecaster.types import F32, F64, I64, Bool, Windows

CHUNK = 64


@dataclass(frozen=True, slots=True)
class JointForecast:
    """Forecast of G targets; a target that a window lacks is zero and not `present`.

    Args:
        quantiles: `(B, G, Q, H)`.
        paths: `(B, S, G, H)`.
        present: `(B, G)`.
    """

    quantiles: F32
    paths: F32
    present: Bool


@dataclass(frozen=True, slots=True)
class JointSample:
    """Ranks of S paths of G targets, and the distributions that they are ranks of.

    Args:
        quantiles: `(B, G, Q, H)`, >= 0; zero where not present.
        scores: `(B, S, G, H)`; only their order along S counts.
        present: `(B, G)`.
    """

    quantiles: F32
    scores: F32
    present: Bool


@dataclass(frozen=True, slots=True)
class JointModel:
    """A trained model with a flow over G targets.

    Which column of a window each target is, `slots` `(B, G)`, is told with the windows; -1 where a
    window lacks it.

    Args:
        model: Marginals of every target.
        flow: Flow with one block of the horizon per target.
    """

    model: TrainedModel
    flow: FlowCopula

    def sample(
        self,
        windows: Windows,
        slots: I64,
        n_paths: int,
        rng: np.random.Generator,
        n_skipped: int = 0,
    ) -> JointSample:
        """Quantiles of all targets, and scores that say how their paths go together.

        Args:
            windows: B windows.
            slots: `(B, G)`.
            n_paths: Sample paths S.
            rng: Source of all randomness.
            n_skipped: First targets whose quantiles nobody reads; trees are not asked for them.
        """
        n_rows, n_targets = slots.shape
        inputs, normalised, encoding, present = self._marginals(windows, slots, n_skipped)
        quantiles = np.maximum(raw_quantiles(normalised, inputs), np.float32(0))
        noise, u = base_noise(n_rows, n_paths, self.flow.n_dimensions, rng)
        with torch.inference_mode():
            scores = self.flow.sample(noise, u, encoding, torch.from_numpy(present)).numpy()
        by_target = scores.reshape(n_rows, n_paths, n_targets, -1)
        return JointSample(np.where(present[..., None, None], quantiles, 0), by_target, present)

    def predict(
        self, windows: Windows, slots: I64, n_paths: int, rng: np.random.Generator
    ) -> JointForecast:
        """Quantiles and joint paths of all targets.

        Args:
            windows: B windows.
            slots: `(B, G)`.
            n_paths: Sample paths S.
            rng: Source of all randomness.
        """
        levels = np.array(self.model.config.window.quantile_levels)
        found: list[tuple[F32, F32, Bool]] = []
        for at in row_chunks(len(windows)):
            one = self.sample(windows.rows(at), slots[at], n_paths, rng)
            points = stratified(n_paths, self.flow.n_dimensions, rng)
            side_by_side = one.quantiles.transpose(0, 2, 1, 3).reshape(at.size, levels.size, -1)
            scores = one.scores.reshape(at.size, n_paths, -1)
            paths = paths_by_rank(side_by_side, levels, scores, points)
            found.append((one.quantiles, paths.reshape(one.scores.shape), one.present))
        q, paths, present = (np.concatenate(part) for part in zip(*found, strict=True))
        return JointForecast(q, paths, present)

    def log_prob(self, windows: Windows, slots: I64, actual: F32, observed: Bool) -> F64:
        """Exact joint log density of what happened, `(B,)`, per raw unit of each target and step.

        A target counts where all its H steps were observed; the density is that of those targets.

        Args:
            windows: B windows.
            slots: `(B, G)`.
            actual: `(B, G, H)`.
            observed: `(B, G, H)`.
        """
        scores, log_density = self.scores(windows, slots, actual, observed)
        with torch.inference_mode():
            copula = self.flow.log_copula(scores.z, scores.encoding, scores.present).numpy()
        return np.asarray(log_density.sum(axis=1) + copula, dtype=np.float64)

    def scores(
        self, windows: Windows, slots: I64, actual: F32, observed: Bool
    ) -> tuple[Scores, F64]:
        """Scores to fit the flow to, and marginal log densities `(B, G)`, zero where absent.

        Args:
            windows: B windows.
            slots: `(B, G)`.
            actual: `(B, G, H)`.
            observed: `(B, G, H)`.
        """
        levels = np.array(self.model.config.window.quantile_levels)
        parts: list[Scores] = []
        densities: list[F64] = []
        for at in row_chunks(len(windows)):
            inputs, normalised, encoding, present = self._marginals(windows.rows(at), slots[at])
            present = present & observed[at].all(axis=2)
            location, scale = inputs.location.numpy()[..., None], inputs.scale.numpy()[..., None]
            y = np.where(present[..., None], (actual[at] - location) / scale, 0).astype(np.float32)
            z, log_density = joint_scores(normalised, y, levels)
            density = log_density - np.log(scale.astype(np.float64))
            densities.append(np.where(present, density.sum(axis=2), 0.0))
            parts.append(Scores(z, encoding, torch.from_numpy(present)))
        return Scores.concatenate(parts), np.concatenate(densities)

    def _marginals(
        self, windows: Windows, slots: I64, n_skipped: int = 0
    ) -> tuple[NetInputs, Tensor, Tensor, Bool]:
        """Inputs, normalised quantiles, mean encoding `(B, E)`, presence of each target `(B, G)`.

        Raises:
            NoObservations: If a row has data for none of the targets.
        """
        mixed = (slots >= 0) & (np.arange(slots.shape[1]) >= n_skipped)
        inputs, normalised, encoding = self.model.marginals(windows, np.maximum(slots, 0), mixed)
        with torch.inference_mode():
            present = torch.from_numpy(slots >= 0) & inputs.available[..., 0]
            if not bool(present.any(dim=1).all()):
                missing = np.array(windows.workloads)[~present.any(dim=1).numpy()].tolist()
                raise NoObservations(f"no observed target in the context of {missing[:5]}")
            mean = mean_encoding(encoding, present)
        return inputs, normalised, mean, present.numpy()


def row_chunks(n_rows: int) -> Iterator[I64]:
    """Row numbers, as many at a time as paths of all targets fit the cache well."""
    for start in range(0, n_rows, CHUNK):
        yield np.arange(start, min(start + CHUNK, n_rows))


def named_slots(windows: Windows, names: Sequence[str]) -> I64:
    """Column of each indicator, `(B, G)`; -1 where a window lacks it."""
    rows = [[own.index(t) if t in own else -1 for t in names] for own in windows.indicators]
    return np.array(rows, dtype=np.int64)


def mean_encoding(encoding: Tensor, present: Tensor) -> Tensor:
    """Mean over the targets that are there, `(B, G, E)` and `(B, G)` to `(B, E)`."""
    weight = present.to(encoding.dtype)[..., None]
    result: Tensor = (encoding * weight).sum(dim=1) / weight.sum(dim=1)
    return result


def joint_scores(normalised: Tensor, actual: F32, levels: F64) -> tuple[Tensor, F64]:
    """Normal scores `(B, G * H)` of what happened, and its log densities `(B, G, H)`.

    Args:
        normalised: `(B, G, H, Q)` quantiles.
        actual: `(B, G, H)` in the same unit.
        levels: `(Q,)`.
    """
    q = normalised.flatten(0, 1).transpose(1, 2).numpy()
    u, log_density = pit_and_log_density(q, levels, actual.reshape(-1, actual.shape[2]))
    return normal_scores(u).reshape(len(actual), -1), log_density.reshape(actual.shape)
