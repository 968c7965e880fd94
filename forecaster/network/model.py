"""The network: encoder, marginal head, flow copula."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor, nn

from forecaster.config import ForecasterConfig
from forecaster.features import n_features, summarise, token_features
from forecaster.network.anchors import build_anchors, knot_weights, n_anchors
from forecaster.network.encoder import Encoder
from forecaster.network.flow import FlowCopula
from forecaster.network.layers import Dropout, Perceptron
from forecaster.types import F32, I64, Windows

MIN_INCREMENT = 1e-5
"""Smallest gap between neighbouring quantiles, in the window's scale: keeps them invertible."""
INCREMENT_START = -5.0
MASKED_LOGIT = -1e4


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Workloads and indicators seen in training; everything else has id 0."""

    workloads: tuple[str, ...]
    indicators: tuple[str, ...]

    def ids(self, windows: Windows) -> tuple[I64, I64]:
        """Workload ids `(B,)` and indicator ids `(B, D)`."""
        by_workload = {name: i + 1 for i, name in enumerate(self.workloads)}
        by_indicator = {name: i + 1 for i, name in enumerate(self.indicators)}
        roles = np.zeros(windows.levels.shape, dtype=np.int64)
        for row, names in enumerate(windows.indicators):
            roles[row, : len(names)] = [by_indicator.get(name, 0) for name in names]
        return np.array([by_workload.get(w, 0) for w in windows.workloads], dtype=np.int64), roles


@dataclass(frozen=True, slots=True)
class NetInputs:
    """Inputs of the network; G targets per window. See `Encoder` and `Anchors` for the shapes."""

    tokens: Tensor
    levels: Tensor
    has_data: Tensor
    roles: Tensor
    workload: Tensor
    targets: Tensor
    window: Tensor
    change: Tensor
    points: Tensor
    available: Tensor
    location: Tensor
    scale: Tensor

    def __len__(self) -> int:
        """Number of rows B."""
        return int(self.tokens.shape[0])

    def rows(self, index: Tensor | slice) -> NetInputs:
        """The rows at `index`."""
        return NetInputs(*(getattr(self, f.name)[index] for f in fields(self)))

    @staticmethod
    def concatenate(parts: list[NetInputs]) -> NetInputs:
        """Join batches of equal D and G."""
        return NetInputs(
            *(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(parts[0]))
        )


def net_inputs(
    windows: Windows, config: ForecasterConfig, vocabulary: Vocabulary, targets: I64 | None = None
) -> NetInputs:
    """Features and anchors of a batch.

    Args:
        windows: B windows.
        config: Configuration.
        vocabulary: Known names.
        targets: `(B, G)` indicators to forecast; the demand when not given.
    """
    chosen = windows.demand_index[:, None] if targets is None else targets
    summary = summarise(windows, config.window.quantile_levels)
    anchors = build_anchors(windows, summary, chosen, config.window)
    workload, roles = vocabulary.ids(windows)
    arrays = (
        token_features(windows, summary, config.window),
        windows.levels,
        summary.has_data,
        roles,
        workload,
        chosen,
        anchors.window,
        anchors.change,
        anchors.points,
        anchors.available,
        anchors.location,
        anchors.scale,
    )
    return NetInputs(*(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays))


class MarginalHead(nn.Module):
    """Monotone quantiles: a convex mixture of the anchors plus a learned distribution."""

    knots: Tensor

    def __init__(self, config: ForecasterConfig, generator: torch.Generator) -> None:
        """Make the layers."""
        super().__init__()
        window = config.window
        self.horizon, self.n_anchors = window.horizon, n_anchors(window)
        self.n_levels = len(window.quantile_levels)
        self.median = window.quantile_levels.index(0.5)
        self.has_window_skip = config.model.has_window_skip
        self.register_buffer("knots", torch.from_numpy(knot_weights(window)), persistent=False)
        n_out = self.horizon * (self.n_anchors + self.n_levels)
        self.net = Perceptron(config.model.width, config.model.hidden, n_out, generator)
        with torch.no_grad():
            self.net.outer.weight.mul_(0.1)
            self.net.outer.bias.view(self.horizon, -1)[:, self.n_anchors + 1 :] = INCREMENT_START

    def forward(
        self, encoding: Tensor, inputs: NetInputs, dropout: Dropout | None = None
    ) -> Tensor:
        """Normalised quantiles `(B, G, H, Q)`, strictly increasing, from `(B, G, E)`."""
        shape = (*encoding.shape[:2], self.horizon, self.n_anchors + self.n_levels)
        raw = self.net(encoding, dropout).view(shape)
        available = inputs.available
        if not self.has_window_skip:
            available = torch.zeros_like(available)
            available[..., 3] = True
        logits = raw[..., : self.n_anchors].masked_fill(~available[..., None, :], MASKED_LOGIT)
        weights = torch.softmax(logits, dim=-1)
        mixed = torch.einsum("bgha,bgaq->bghq", weights[..., :2], inputs.window)
        change = torch.einsum("hk,bgkq->bghq", self.knots, inputs.change)
        mixed = mixed + weights[..., 2:3] * change
        points = (weights[..., 3:] * inputs.points.transpose(2, 3)).sum(dim=-1, keepdim=True)
        own = raw[..., self.n_anchors :]
        increments = nn.functional.softplus(own[..., 1:]) + MIN_INCREMENT
        climb = nn.functional.pad(torch.cumsum(increments, dim=-1), (1, 0))
        climb = climb - climb[..., self.median : self.median + 1]
        result: Tensor = mixed + points + own[..., :1] + climb
        return result


class ForecastNet(nn.Module):
    """Encoder, marginal head and flow of one trained model."""

    def __init__(
        self, config: ForecasterConfig, vocabulary: Vocabulary, generator: torch.Generator
    ) -> None:
        """Make all parts."""
        super().__init__()
        self.encoder = Encoder(
            n_features(config.window),
            len(vocabulary.indicators) + 1,
            len(vocabulary.workloads) + 1,
            config.model,
            generator,
        )
        self.head = MarginalHead(config, generator)
        self.flow = FlowCopula(config.window.horizon, config.model, generator)

    def forward(self, inputs: NetInputs, dropout: Dropout | None = None) -> tuple[Tensor, Tensor]:
        """Normalised quantiles `(B, G, H, Q)` and encodings `(B, G, E)`."""
        encoding = self.encoder(
            inputs.tokens,
            inputs.levels,
            inputs.has_data,
            inputs.roles,
            inputs.workload,
            inputs.targets,
            dropout,
        )
        return self.head(encoding, inputs, dropout), encoding


def raw_quantiles(normalised: Tensor, inputs: NetInputs) -> F32:
    """Quantiles in the target's own unit, `(B, G, Q, H)`; not yet clipped at zero."""
    raw = normalised * inputs.scale[..., None, None] + inputs.location[..., None, None]
    array: F32 = raw.transpose(2, 3).contiguous().numpy().astype(np.float32)
    return array
