"""Fitting the flow copula: the Gaussian copula in closed form, the rest by maximum likelihood."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from forecaster.errors import TrainingDiverged
from forecaster.flow import FlowCopula

BATCH = 512
RATE = 8e-3
LAST_RATE = 0.02
GRADIENT_NORM = 1.0
SHRINKAGE = 0.02


@dataclass(frozen=True, slots=True)
class Scores:
    """Normal scores with what they are conditioned on.

    Args:
        z: `(N, D)`; absent targets may hold anything finite.
        encoding: `(N, E)`.
        present: `(N, G)` which targets exist, or None when all do.
    """

    z: Tensor
    encoding: Tensor
    present: Tensor | None = None

    def __len__(self) -> int:
        """Number of windows N."""
        return int(self.z.shape[0])

    def rows(self, index: Tensor) -> Scores:
        """The windows at `index`."""
        present = None if self.present is None else self.present[index]
        return Scores(self.z[index], self.encoding[index], present)


@dataclass(frozen=True, slots=True)
class FlowGain:
    """Held-out mean log density, nats per window, of the Gaussian copula and of the fitted flow."""

    gaussian: float
    fitted: float


def correlation_of(z: Tensor, present: Tensor | None = None) -> Tensor:
    """Shrunk correlation `(D, D)` of scores, positive definite.

    Two targets that are never present together get no correlation. A correlation put together from
    different windows may have negative eigenvalues: they are raised to the shrinkage.

    Args:
        z: `(N, D)`.
        present: `(N, G)`; all when not given.
    """
    if present is None:
        seen = torch.ones_like(z)
    else:
        seen = present.to(z.dtype).repeat_interleave(z.shape[1] // present.shape[1], dim=1)
    centred = (z - (z * seen).sum(0) / seen.sum(0).clamp(min=1)) * seen
    product = centred.T @ centred
    energy = (centred**2).T @ seen
    raw = product / (energy * energy.T).sqrt().clamp(min=torch.finfo(z.dtype).tiny)
    raw.fill_diagonal_(1.0)
    values, vectors = torch.linalg.eigh(raw.double())
    raised = vectors * values.clamp(min=0) @ vectors.T
    spread = torch.diagonal(raised).sqrt()
    raised = raised / spread[:, None] / spread
    identity = torch.eye(len(raised), dtype=raised.dtype)
    result: Tensor = ((1 - SHRINKAGE) * raised + SHRINKAGE * identity).to(z.dtype)
    result.fill_diagonal_(1.0)
    return result


def flow_rate(step: int, n_steps: int) -> float:
    """Learning rate of one step: a half cosine from `RATE` to 2 % of it."""
    share = min(step / max(n_steps, 1), 1.0)
    return RATE * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share)))


def fit_flow(
    flow: FlowCopula, train: Scores, held: Scores, n_epochs: int, generator: torch.Generator
) -> FlowGain:
    """Fit a flow; it keeps the epoch that is best on `held`, the Gaussian copula included.

    Args:
        flow: Flow, changed in place.
        train: Training windows.
        held: Later windows.
        n_epochs: Passes over the training windows.
        generator: Order of the windows.

    Raises:
        TrainingDiverged: If the loss stops being finite.
    """
    flow.set_correlation(correlation_of(train.z, train.present))
    gaussian = best = _held_out(flow, held)
    best_state = copy.deepcopy(flow.state_dict())
    if flow.n_layers == 0 or n_epochs == 0:
        return FlowGain(gaussian, gaussian)
    flow.spread_scales()
    optimiser = torch.optim.Adam(flow.parameters(), lr=RATE)
    n_steps, step = n_epochs * math.ceil(len(train) / BATCH), 0
    for epoch in range(1, n_epochs + 1):
        for index in torch.split(torch.randperm(len(train), generator=generator), BATCH):
            for group in optimiser.param_groups:
                group["lr"] = flow_rate(step, n_steps)
            loss = -_log_prob(flow, train.rows(index)).mean()
            if not torch.isfinite(loss):
                raise TrainingDiverged(f"flow loss is {loss.item()} in epoch {epoch}")
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(flow.parameters(), GRADIENT_NORM)
            optimiser.step()
            step += 1
        now = _held_out(flow, held)
        if now > best:
            best, best_state = now, copy.deepcopy(flow.state_dict())
    flow.load_state_dict(best_state)
    return FlowGain(gaussian, best)


def _log_prob(flow: FlowCopula, scores: Scores) -> Tensor:
    return flow.log_prob(scores.z, scores.encoding, scores.present)


@torch.no_grad()
def _held_out(flow: FlowCopula, held: Scores) -> float:
    return float(_log_prob(flow, held).mean()) if len(held) else -math.inf
