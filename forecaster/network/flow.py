"""A conditional normalizing flow over target indicators and horizon, used as a copula.

The marginal head gives every step of every target its own distribution; this flow gives their
dependence. It is a density on z, the inverse normal of the PIT scores, `(D,)` per window with
D = G * H (G targets, target by target): a fixed lower-triangular map (the Gaussian copula fitted to
the training scores), then affine coupling layers (Dinh et al., Density estimation using Real NVP,
2017) conditioned on the encoding, then a base that is a mixture of a few centred normals of
different scales whose weights depend on the encoding. The common scale of a window makes extreme
steps occur together, as in a Student copula; a normal base cannot say that.

Layers start as the identity and scales as one, so an untrained flow is exactly the Gaussian copula.
Base noise comes from the caller: nflows would draw it from the global generator.

A workload may lack targets. Their block is replaced by independent filler that no other dimension
reads, so for every set of present targets the density of the others is normalised; without coupling
layers it is the exact marginal of the density over all targets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from nflows.transforms.base import CompositeTransform
from nflows.transforms.coupling import AffineCouplingTransform
from torch import Tensor, nn

from forecaster.config import ModelConfig
from forecaster.network.layers import linear

N_SCALES = 4
MAX_LOG_SCALE = 1.5
"""Bound of the log scale of one coupling layer: keeps the flow's tails near the normal's."""
SCALE_SPREAD = 0.5
SCALE_OFFSET = -0.1


@dataclass(frozen=True, slots=True)
class Condition:
    """Condition of the layers, for R rows of S paths each.

    Args:
        rows: `(R, C)` context, one per row.
        present: `(R, D)` one where the dimension exists, or None when all do.
    """

    rows: Tensor
    present: Tensor | None


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

    @staticmethod
    def concatenate(parts: Sequence[Scores]) -> Scores:
        """Join scores of equal D that all say what is present, or none does."""
        seen = [part.present for part in parts if part.present is not None]
        return Scores(
            torch.cat([part.z for part in parts]),
            torch.cat([part.encoding for part in parts]),
            torch.cat(seen) if seen else None,
        )

    def to(self, device: torch.device) -> Scores:
        """The same on a device."""
        present = None if self.present is None else self.present.to(device)
        return Scores(self.z.to(device), self.encoding.to(device), present)

    def rows(self, index: Tensor) -> Scores:
        """The windows at `index`."""
        present = None if self.present is None else self.present[index]
        return Scores(self.z[index], self.encoding[index], present)


class Conditioner(nn.Module):
    """Shift and scale of the transformed half from the kept half and the context.

    The context's share of the first layer is computed once per row, not once per path.
    """

    kept_index: Tensor
    moved_index: Tensor

    def __init__(self, is_moved: Tensor, n_targets: int, config: ModelConfig) -> None:
        """Make room for the layers; see `start` for their first parameters.

        Args:
            is_moved: `(D,)` which dimensions this layer transforms.
            n_targets: Targets G.
            config: Sizes.
        """
        super().__init__()
        self.n_targets, self.config = n_targets, config
        self.register_buffer("kept_index", torch.nonzero(~is_moved)[:, 0], persistent=False)
        self.register_buffer("moved_index", torch.nonzero(is_moved)[:, 0], persistent=False)

    def start(self, generator: torch.Generator) -> None:
        """Draw the first parameters; the last layer starts at zero: no shift, scale one."""
        n_kept, n_moved = len(self.kept_index), len(self.moved_index)
        n_targets = self.n_targets if self.n_targets > 1 else 0
        hidden, context = self.config.flow_hidden, self.config.flow_context
        self.from_context = linear(context + n_targets, hidden, generator, gain=1.7)
        self.from_kept = linear(n_kept, hidden, generator, gain=1.7)
        self.second = linear(hidden, hidden, generator, gain=1.7)
        self.last = linear(hidden, 2 * n_moved, generator, gain=0.0)

    def forward(self, kept: Tensor, condition: Condition) -> Tensor:
        """`(N, n_kept)` and R rows to `(N, 2 n_moved)`; N is a multiple of R, row by row."""
        rows, present = condition.rows, condition.present
        n_rows, n_dimensions = rows.shape[0], kept.shape[1] + len(self.moved_index)
        kept = kept.view(n_rows, -1, kept.shape[1])
        if present is not None:
            kept = kept * present[:, None, self.kept_index]
        if self.n_targets > 1:
            horizon = n_dimensions // self.n_targets
            seen = rows.new_ones(n_rows, n_dimensions) if present is None else present
            rows = torch.cat([rows, seen[:, ::horizon]], dim=1)
        x = self.from_kept(kept).add_(self.from_context(rows)[:, None])
        x = nn.functional.silu(x)
        raw: Tensor = self.last(x + nn.functional.silu(self.second(x)))
        if present is not None:
            moved = present[:, None, self.moved_index]
            raw = raw * torch.cat([moved, moved], dim=2)
        return raw.flatten(0, 1)


class AffineCoupling(AffineCouplingTransform):  # type: ignore[misc]  # nflows is untyped
    """The affine coupling of nflows with a symmetric, bounded log scale."""

    def _scale_and_shift(self, transform_params: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = transform_params.chunk(2, dim=1)
        return torch.exp(MAX_LOG_SCALE * torch.tanh(raw / MAX_LOG_SCALE)), shift


class FlowCopula(nn.Module):
    """Joint density of the normal scores of one window, conditioned on an encoding."""

    cholesky: Tensor

    def __init__(
        self, horizon: int, config: ModelConfig, generator: torch.Generator, n_targets: int = 1
    ) -> None:
        """Make the flow; with one dimension it is the standard normal.

        Args:
            horizon: Steps ahead H.
            config: Sizes.
            generator: Source of the first parameters.
            n_targets: Targets G.
        """
        super().__init__()
        self.horizon, self.n_targets = horizon, n_targets
        self.n_dimensions = horizon * n_targets
        self.n_layers = config.flow_layers if self.n_dimensions > 1 else 0
        self.register_buffer("cholesky", torch.eye(self.n_dimensions))
        self.context = linear(config.width, config.flow_context, generator)
        self.log_scale = nn.Parameter(torch.zeros(N_SCALES if self.n_layers else 1))
        self.weight = linear(config.flow_context, len(self.log_scale), generator, gain=0.0)
        layers = [self._coupling(i, config, generator) for i in range(self.n_layers)]
        self.couplings = CompositeTransform(layers)

    def _coupling(
        self, index: int, config: ModelConfig, generator: torch.Generator
    ) -> AffineCoupling:
        mask = torch.ones(self.n_dimensions)
        mask[index % 2 :: 2] = -1
        net = Conditioner(mask > 0, self.n_targets, config)
        net.start(generator)

        def make(_n_in: int, _n_out: int) -> Conditioner:
            return net

        create: Callable[[int, int], nn.Module] = make
        return AffineCoupling(mask, create)

    def set_correlation(self, correlation: Tensor) -> None:
        """Fix the Gaussian copula, `(D, D)` positive definite."""
        self.cholesky.copy_(torch.linalg.cholesky(correlation))

    @torch.no_grad()
    def spread_scales(self) -> None:
        """Set the scales apart: where they are equal, no gradient tells them apart."""
        n_scales = len(self.log_scale)
        if n_scales > 1:
            apart = torch.linspace(-SCALE_SPREAD, SCALE_SPREAD, n_scales)
            self.log_scale.copy_(apart + SCALE_OFFSET)

    def forward_transform(
        self, z: Tensor, encoding: Tensor, present: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Scores to base noise.

        Args:
            z: `(N, D)`; absent dimensions may hold anything finite.
            encoding: `(N, E)`.
            present: `(N, G)` which targets exist; all when not given.

        Returns:
            Noise `(N, D)`, zero where absent, and log |d noise / d z| `(N,)` of the rest.
        """
        condition = self._condition(encoding, present)
        white, log_det = self._whiten(z, condition.present)
        if self.n_layers == 0:
            return white, log_det
        noise, more = self.couplings(white, context=condition)
        return noise, log_det + more

    def inverse_transform(
        self, noise: Tensor, encoding: Tensor, present: Tensor | None = None
    ) -> Tensor:
        """Base noise to scores: `(N, D)` and `(N, E)` to `(N, D)`."""
        return self._colour(noise[:, None], self._condition(encoding, present))[:, 0]

    def sample(
        self, noise: Tensor, u: Tensor, encoding: Tensor, present: Tensor | None = None
    ) -> Tensor:
        """Scores of S paths per row from the caller's base noise.

        Args:
            noise: `(B, S, D)` standard normal.
            u: `(B, S)` uniform on (0, 1): chooses the scale of each path.
            encoding: `(B, E)`.
            present: `(B, G)` which targets exist; all when not given.

        Returns:
            `(B, S, D)`.
        """
        condition = self._condition(encoding, present)
        edges = torch.softmax(self.weight(condition.rows), dim=1).cumsum(dim=1)[:, :-1]
        which = torch.searchsorted(edges.contiguous(), u.contiguous())
        return self._colour(noise * torch.exp(self.log_scale)[which][..., None], condition)

    def log_prob(self, z: Tensor, encoding: Tensor, present: Tensor | None = None) -> Tensor:
        """Log density of the scores of the present targets, `(N,)`."""
        condition = self._condition(encoding, present)
        noise, log_det = self.forward_transform(z, encoding, present)
        n_seen = self._n_seen(z, condition.present)[:, None]
        distance = (noise**2).sum(dim=1, keepdim=True)
        parts = (
            -0.5 * distance * torch.exp(-2 * self.log_scale)
            - n_seen * (self.log_scale + 0.5 * math.log(2 * math.pi))
            + torch.log_softmax(self.weight(condition.rows), dim=1)
        )
        return torch.logsumexp(parts, dim=1) + log_det

    def log_copula(self, z: Tensor, encoding: Tensor, present: Tensor | None = None) -> Tensor:
        """Log density of the dependence alone: the joint over the product of standard normals."""
        seen = self._condition(encoding, present).present
        squares = z**2 if seen is None else z**2 * seen
        normal = -0.5 * squares.sum(dim=1) - 0.5 * math.log(2 * math.pi) * self._n_seen(z, seen)
        return self.log_prob(z, encoding, present) - normal

    def _condition(self, encoding: Tensor, present: Tensor | None) -> Condition:
        rows = torch.tanh(self.context(encoding))
        if present is None or bool(present.all()):
            return Condition(rows, None)
        return Condition(rows, present.to(rows.dtype).repeat_interleave(self.horizon, dim=1))

    def _n_seen(self, z: Tensor, present: Tensor | None) -> Tensor:
        return z.new_full((len(z),), self.n_dimensions) if present is None else present.sum(dim=1)

    def _patterns(self, present: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Rows and Gaussian copula of each set of present dimensions.

        Absent dimensions are made independent, hence those that remain have the sub-matrix of their
        correlations: the exact marginal.
        """
        correlation = self.cholesky @ self.cholesky.T
        sets, which = torch.unique(present, dim=0, return_inverse=True)
        found = []
        for i, seen in enumerate(sets):
            kept = correlation * seen[:, None] * seen + torch.diag(1 - seen)
            found.append((torch.nonzero(which == i)[:, 0], torch.linalg.cholesky(kept)))
        return found

    def _whiten(self, z: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor]:
        if present is None:
            return _solve(self.cholesky, z)
        white, log_det = torch.empty_like(z), z.new_empty(len(z))
        for rows, factor in self._patterns(present):
            white[rows], log_det[rows] = _solve(factor, z[rows] * present[rows])
        return white, log_det

    def _colour(self, noise: Tensor, condition: Condition) -> Tensor:
        n_rows, n_paths, n_dimensions = noise.shape
        white = noise.reshape(-1, n_dimensions)
        if self.n_layers:
            white, _ = self.couplings.inverse(white, context=condition)
        white = white.view(n_rows, n_paths, n_dimensions)
        if condition.present is None:
            return white @ self.cholesky.T
        scores = torch.empty_like(white)
        for rows, factor in self._patterns(condition.present):
            scores[rows] = white[rows] @ factor.T
        return scores


def _solve(factor: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """White noise of scores with this Cholesky factor, and the log determinant of that map."""
    white = torch.linalg.solve_triangular(factor, z.T, upper=False).T
    return white, -torch.log(torch.diagonal(factor)).sum().expand(len(z))
