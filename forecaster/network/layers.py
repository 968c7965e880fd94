"""Layers whose first parameters come from a passed generator, never from the global one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


def linear(n_in: int, n_out: int, generator: torch.Generator, gain: float = 1.0) -> nn.Linear:
    """A linear layer, weights uniform with variance `gain ** 2 / (3 n_in)`, biases zero."""
    layer = nn.Linear(n_in, n_out, device="meta")
    bound = gain / math.sqrt(n_in)
    start = torch.empty(n_out, n_in).uniform_(-bound, bound, generator=generator)
    layer.weight, layer.bias = nn.Parameter(start), nn.Parameter(torch.zeros(n_out))
    return layer


def embedding(n_rows: int, width: int, generator: torch.Generator) -> nn.Embedding:
    """An embedding table, small normal start; row 0 (unknown) starts at zero."""
    start = torch.empty(n_rows, width).normal_(0.0, 0.05, generator=generator)
    start[0] = 0
    layer: nn.Embedding = nn.Embedding.from_pretrained(start, freeze=False)  # type: ignore[no-untyped-call]  # torch says no types
    return layer


@dataclass(frozen=True, slots=True)
class Dropout:
    """Leaves out hidden units in training, by a passed generator; not used in evaluation.

    Args:
        share: Share of units left out.
        generator: Source of the choice, on the CPU whatever the device, so that it is the same.
    """

    share: float
    generator: torch.Generator

    def __call__(self, x: Tensor) -> Tensor:
        """`x` with units left out and the others scaled up."""
        if self.share == 0:
            return x
        kept = torch.rand(x.shape, generator=self.generator) >= self.share
        return x * kept.to(x.device) / (1 - self.share)


class Perceptron(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, n_in: int, hidden: int, n_out: int, generator: torch.Generator) -> None:
        """Make the layers."""
        super().__init__()
        self.inner = linear(n_in, hidden, generator, gain=1.7)
        self.outer = linear(hidden, n_out, generator)

    def forward(self, x: Tensor, dropout: Dropout | None = None) -> Tensor:
        """`(..., n_in)` to `(..., n_out)`."""
        hidden = nn.functional.gelu(self.inner(x))
        result: Tensor = self.outer(hidden if dropout is None else dropout(hidden))
        return result
