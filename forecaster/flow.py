"""A conditional normalizing flow over the horizon, used as a copula.

The marginal head gives every step its own distribution; this flow gives their dependence. It is a
density on z = inverse normal of the PIT scores, `(H,)` per window: a fixed lower-triangular map
(the Gaussian copula fitted to the training scores) followed by rational-quadratic coupling layers
(Durkan et al., Neural Spline Flows, 2019) conditioned on the encoding. The coupling layers start as
the identity, so an untrained flow is exactly the Gaussian copula. Base noise comes from the caller:
nflows would draw it from the global generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from nflows.transforms.base import CompositeTransform
from nflows.transforms.coupling import PiecewiseRationalQuadraticCouplingTransform
from torch import Tensor, nn

from forecaster.config import ModelConfig
from forecaster.layers import linear

TAIL_BOUND = 4.0
MIN_DERIVATIVE = 1e-3
IDENTITY_DERIVATIVE = math.log(math.expm1(1 - MIN_DERIVATIVE))
"""Raw network output whose softplus, plus `MIN_DERIVATIVE`, is a slope of one."""


class Conditioner(nn.Module):
    """Spline parameters of the transformed half from the kept half and the context."""

    def __init__(
        self, n_in: int, n_out: int, context: int, hidden: int, generator: torch.Generator
    ) -> None:
        """Make the layers; the last one starts at zero.

        Args:
            n_in: Kept dimensions.
            n_out: Spline parameters in all.
            context: Width of the context.
            hidden: Hidden width.
            generator: Source of the first parameters.
        """
        super().__init__()
        # nflows divides the raw bin widths and heights by the square root of this attribute.
        self.hidden_features = hidden
        self.first = linear(n_in + context, hidden, generator, gain=1.7)
        self.second = linear(hidden, hidden, generator, gain=1.7)
        self.last = linear(hidden, n_out, generator, gain=0.0)

    def forward(self, kept: Tensor, context: Tensor) -> Tensor:
        """`(N, n_in)` and `(N, context)` to `(N, n_out)`."""
        x = nn.functional.silu(self.first(torch.cat([kept, context], dim=1)))
        result: Tensor = self.last(x + nn.functional.silu(self.second(x)))
        return result


class FlowCopula(nn.Module):
    """Joint density of the normal scores of one horizon, conditioned on an encoding."""

    cholesky: Tensor

    def __init__(self, horizon: int, config: ModelConfig, generator: torch.Generator) -> None:
        """Make the flow; with one step ahead it is the standard normal."""
        super().__init__()
        self.horizon = horizon
        self.n_layers = config.flow_layers if horizon > 1 else 0
        self.register_buffer("cholesky", torch.eye(horizon))
        self.context = linear(config.width, config.flow_context, generator)
        layers = [self._coupling(i, config, generator) for i in range(self.n_layers)]
        self.couplings = CompositeTransform(layers)

    def _coupling(
        self, index: int, config: ModelConfig, generator: torch.Generator
    ) -> PiecewiseRationalQuadraticCouplingTransform:
        mask = torch.ones(self.horizon)
        mask[index % 2 :: 2] = -1

        def make(n_in: int, n_out: int) -> Conditioner:
            net = Conditioner(n_in, n_out, config.flow_context, config.flow_hidden, generator)
            with torch.no_grad():
                per_dimension = net.last.bias.view(-1, 3 * config.flow_bins - 1)
                per_dimension[:, 2 * config.flow_bins :] = IDENTITY_DERIVATIVE
            return net

        create: Callable[[int, int], nn.Module] = make
        return PiecewiseRationalQuadraticCouplingTransform(
            mask,
            create,
            num_bins=config.flow_bins,
            tails="linear",
            tail_bound=TAIL_BOUND,
            min_derivative=MIN_DERIVATIVE,
        )

    def set_correlation(self, correlation: Tensor) -> None:
        """Fix the Gaussian copula, `(H, H)` positive definite."""
        self.cholesky.copy_(torch.linalg.cholesky(correlation))

    def forward_transform(self, z: Tensor, encoding: Tensor) -> tuple[Tensor, Tensor]:
        """Scores to base noise.

        Args:
            z: `(N, H)`.
            encoding: `(N, E)`.

        Returns:
            Noise `(N, H)` and log |d noise / d z| `(N,)`.
        """
        white = torch.linalg.solve_triangular(self.cholesky, z.T, upper=False).T
        log_det = -torch.log(torch.diagonal(self.cholesky)).sum().expand(z.shape[0])
        if self.n_layers == 0:
            return white, log_det
        noise, more = self.couplings(white, context=torch.tanh(self.context(encoding)))
        return noise, log_det + more

    def inverse_transform(self, noise: Tensor, encoding: Tensor) -> Tensor:
        """Base noise to scores: `(N, H)` and `(N, E)` to `(N, H)`."""
        return self.sample(noise[:, None], encoding)[:, 0]

    def sample(self, noise: Tensor, encoding: Tensor) -> Tensor:
        """Scores of S paths per row from the caller's base noise.

        Args:
            noise: `(B, S, H)` standard normal.
            encoding: `(B, E)`.

        Returns:
            `(B, S, H)`.
        """
        n_rows, n_paths, horizon = noise.shape
        white = noise.reshape(-1, horizon)
        if self.n_layers:
            context = torch.tanh(self.context(encoding)).repeat_interleave(n_paths, dim=0)
            white, _ = self.couplings.inverse(white, context=context)
        return (white @ self.cholesky.T).view(n_rows, n_paths, horizon)

    def log_prob(self, z: Tensor, encoding: Tensor) -> Tensor:
        """Log density of scores, `(N,)`."""
        noise, log_det = self.forward_transform(z, encoding)
        base = -0.5 * (noise**2).sum(dim=1) - 0.5 * self.horizon * math.log(2 * math.pi)
        return base + log_det

    def log_copula(self, z: Tensor, encoding: Tensor) -> Tensor:
        """Log density of the dependence alone: the joint over the product of standard normals."""
        normal = -0.5 * (z**2).sum(dim=1) - 0.5 * self.horizon * math.log(2 * math.pi)
        return self.log_prob(z, encoding) - normal
