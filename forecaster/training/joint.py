"""Joint forecasts of several indicators: their marginals and one flow over all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from forecaster.errors import NoObservations
from forecaster.network.flow import FlowCopula
from forecaster.network.model import NetInputs, raw_quantiles
from forecaster.predict import TrainedModel, base_noise, normal_scores, paths_by_rank, stratified
from forecaster.quantiles import pit_and_log_density
from forecaster.training.flow_fit import Scores
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
class JointModel:
    """A trained model with a flow over the indicators `targets`, in this order.

    Args:
        model: Marginals of every indicator (trained with `targets=all`).
        flow: Flow with one block of the horizon per target.
        targets: G indicator names.
    """

    model: TrainedModel
    flow: FlowCopula
    targets: tuple[str, ...]

    def predict(self, windows: Windows, n_paths: int, rng: np.random.Generator) -> JointForecast:
        """Quantiles and joint paths of all targets.

        Args:
            windows: B windows.
            n_paths: Sample paths S.
            rng: Source of all randomness.
        """
        window = self.model.config.window
        levels = np.array(window.quantile_levels)
        n_targets, horizon = len(self.targets), window.horizon
        found: list[tuple[F32, F32, Bool]] = []
        for start in range(0, len(windows), CHUNK):
            rows = windows.rows(np.arange(start, min(start + CHUNK, len(windows))))
            inputs, normalised, encoding, present = self._marginals(rows)
            quantiles = raw_quantiles(normalised, inputs)
            noise, u = base_noise(len(rows), n_paths, n_targets * horizon, rng)
            with torch.inference_mode():
                scores = self.flow.sample(noise, u, encoding, torch.from_numpy(present))
            q = np.maximum(quantiles, np.float32(0)) * present[..., None, None]
            side_by_side = q.transpose(0, 2, 1, 3).reshape(len(rows), levels.size, -1)
            points = stratified(n_paths, n_targets * horizon, rng)
            paths = paths_by_rank(side_by_side, levels, scores.numpy(), points)
            found.append((q, paths.reshape(len(rows), n_paths, n_targets, horizon), present))
        q, paths, present = (np.concatenate(part) for part in zip(*found, strict=True))
        return JointForecast(q, paths, present)

    def log_prob(self, windows: Windows, actual: F32, observed: Bool) -> F64:
        """Exact joint log density of what happened, `(B,)`, per raw unit of each target and step.

        A target counts where all its H steps were observed; the density is that of those targets.

        Args:
            windows: B windows.
            actual: `(B, G, H)`.
            observed: `(B, G, H)`.
        """
        scores, log_density = self.scores(windows, actual, observed)
        with torch.inference_mode():
            copula = self.flow.log_copula(scores.z, scores.encoding, scores.present).numpy()
        return np.asarray(log_density.sum(axis=1) + copula, dtype=np.float64)

    def scores(self, windows: Windows, actual: F32, observed: Bool) -> tuple[Scores, F64]:
        """Scores to fit the flow to, and marginal log densities `(B, G)`, zero where absent.

        Args:
            windows: B windows.
            actual: `(B, G, H)`.
            observed: `(B, G, H)`.
        """
        levels = np.array(self.model.config.window.quantile_levels)
        z: list[Tensor] = []
        encodings: list[Tensor] = []
        seen: list[Bool] = []
        densities: list[F64] = []
        for start in range(0, len(windows), CHUNK):
            at = np.arange(start, min(start + CHUNK, len(windows)))
            inputs, normalised, encoding, present = self._marginals(windows.rows(at))
            present = present & observed[at].all(axis=2)
            location, scale = inputs.location.numpy()[..., None], inputs.scale.numpy()[..., None]
            y = np.where(present[..., None], (actual[at] - location) / scale, 0).astype(np.float32)
            q = normalised.flatten(0, 1).transpose(1, 2).numpy()
            u, log_density = pit_and_log_density(q, levels, y.reshape(-1, y.shape[2]))
            z.append(normal_scores(u).reshape(len(at), -1))
            density = log_density.reshape(y.shape) - np.log(scale.astype(np.float64))
            densities.append(np.where(present, density.sum(axis=2), 0.0))
            encodings.append(encoding)
            seen.append(present)
        present = np.concatenate(seen)
        scores = Scores(torch.cat(z), torch.cat(encodings), torch.from_numpy(present))
        return scores, np.concatenate(densities)

    def _marginals(self, windows: Windows) -> tuple[NetInputs, Tensor, Tensor, Bool]:
        """Inputs, normalised quantiles, mean encoding `(B, E)`, presence of each target `(B, G)`.

        Raises:
            NoObservations: If a row has data for none of the targets.
        """
        index = self._indices(windows)
        model = self.model
        inputs, normalised, encoding = model.marginals(windows, np.maximum(index, 0))
        with torch.inference_mode():
            present = torch.from_numpy(index >= 0) & inputs.available[..., 0]
            if not bool(present.any(dim=1).all()):
                missing = np.array(windows.workloads)[~present.any(dim=1).numpy()].tolist()
                raise NoObservations(f"no observed target in the context of {missing[:5]}")
            weight = present.to(encoding.dtype)[..., None]
            mean = (encoding * weight).sum(dim=1) / weight.sum(dim=1)
        return inputs, normalised, mean, present.numpy()

    def _indices(self, windows: Windows) -> I64:
        """`(B, G)` index of each target among a window's indicators; -1 where it lacks it."""
        rows = [
            [names.index(t) if t in names else -1 for t in self.targets]
            for names in windows.indicators
        ]
        return np.array(rows, dtype=np.int64)
