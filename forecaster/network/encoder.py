"""Variate tokens and hierarchical attention.

One token per indicator. Attention runs level by level, coarse to fine (service, container,
hardware): the tokens of a level read their own level and the coarser ones, already updated; then
the target token reads all of them. Masks are true masks: what may not be read takes no part in the
softmax. Every attention is a gated residual, so a model that gains nothing from other indicators
can close the gate.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from forecaster.config import ModelConfig
from forecaster.network.layers import Dropout, Perceptron, embedding, linear
from forecaster.types import LEVELS

GATE_START = 0.1
WORKLOAD_WIDTH = 16


class GatedAttention(nn.Module):
    """Multi-head attention added to its query through a learned gate per channel."""

    def __init__(self, width: int, heads: int, generator: torch.Generator) -> None:
        """Make projections and gate."""
        super().__init__()
        self.heads = heads
        self.norm_query = nn.LayerNorm(width)
        self.norm_key = nn.LayerNorm(width)
        self.query = linear(width, width, generator)
        self.key_value = linear(width, 2 * width, generator)
        self.out = linear(width, width, generator)
        self.gate = nn.Parameter(torch.full((width,), GATE_START))

    def forward(self, queries: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Read `tokens` into `queries`.

        Args:
            queries: `(B, G, E)`.
            tokens: `(B, D, E)`.
            mask: `(B, G, D)`, true where a query may read; a query with nothing to read keeps its
                value.

        Returns:
            `(B, G, E)`.
        """
        n_rows, n_queries, width = queries.shape
        split = (n_rows, -1, self.heads, width // self.heads)
        q = self.query(self.norm_query(queries)).view(split).transpose(1, 2)
        key_value = self.key_value(self.norm_key(tokens))
        k, v = (part.reshape(split).transpose(1, 2) for part in key_value.chunk(2, dim=-1))
        can_read = mask.any(dim=2)
        # A row without any key would be a softmax over nothing (NaN): open it, then discard it.
        safe = mask | ~can_read[..., None]
        read = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=safe[:, None])
        merged = self.out(read.transpose(1, 2).reshape(n_rows, n_queries, width))
        result: Tensor = queries + self.gate * merged * can_read[..., None]
        return result


class Encoder(nn.Module):
    """Tokens of a window to one encoding per target."""

    def __init__(
        self,
        n_features: int,
        n_roles: int,
        n_workloads: int,
        config: ModelConfig,
        generator: torch.Generator,
    ) -> None:
        """Make embeddings and attention blocks.

        Args:
            n_features: Length F of a token's features.
            n_roles: Indicator names known, plus one for unknown.
            n_workloads: Workloads known, plus one for unknown.
            config: Model configuration.
            generator: Source of the first parameters.
        """
        super().__init__()
        width = config.width
        self.attention = config.attention
        self.token = Perceptron(n_features, config.hidden, width, generator)
        self.level = embedding(len(LEVELS) + 1, width, generator)
        self.role = embedding(n_roles, width, generator)
        self.workload = embedding(n_workloads, WORKLOAD_WIDTH, generator)
        self.workload_in = linear(WORKLOAD_WIDTH, width, generator)
        self.blocks = nn.ModuleList()
        if config.attention != "none":
            self.blocks.extend(
                GatedAttention(width, config.heads, generator) for _ in range(len(LEVELS) + 1)
            )
        self.mix_norm = nn.LayerNorm(width)
        self.mix = Perceptron(width, config.hidden, width, generator)

    def forward(  # noqa: PLR0913 - the parts of NetInputs that it reads
        self,
        tokens: Tensor,
        levels: Tensor,
        has_data: Tensor,
        roles: Tensor,
        workload: Tensor,
        targets: Tensor,
        dropout: Dropout | None = None,
    ) -> Tensor:
        """Encode the targets.

        Args:
            tokens: `(B, D, F)`.
            levels: `(B, D)`, 0 on padding.
            has_data: `(B, D)`, false where nothing was observed.
            roles: `(B, D)` indicator ids.
            workload: `(B,)` workload ids.
            targets: `(B, G)` token index of each target.
            dropout: In training.

        Returns:
            `(B, G, E)`.
        """
        x = self.token(tokens, dropout) + self.level(levels) + self.role(roles)
        x = x + self.workload_in(self.workload(workload))[:, None]
        readable = has_data & (levels > 0)
        if self.attention != "none":
            x = self._cascade(x, levels, readable)
        width = x.shape[-1]
        encoded = torch.gather(x, 1, targets[..., None].expand(-1, -1, width))
        if self.attention != "none":
            mask = readable[:, None, :].expand(-1, targets.shape[1], -1)
            encoded = self.blocks[-1](encoded, x, mask)
        result: Tensor = encoded + self.mix(self.mix_norm(encoded), dropout)
        return result

    def _cascade(self, x: Tensor, levels: Tensor, readable: Tensor) -> Tensor:
        for level, block in zip(LEVELS, self.blocks[:-1], strict=True):
            is_level, keys = levels == level, readable
            if self.attention == "hierarchical":
                keys = readable & (levels <= level)
            # Tokens of other levels would be thrown away, and masked keys read by nobody.
            asking, told = _columns(is_level), _columns(keys)
            if not (asking.numel() and told.numel()):
                continue
            mine = x[:, asking]
            mask = keys[:, None, told].expand(-1, asking.numel(), -1)
            read = block(mine, x[:, told], mask)
            x = x.index_copy(1, asking, torch.where(is_level[:, asking, None], read, mine))
        return x


def _columns(flags: Tensor) -> Tensor:
    """Tokens that are true in any row, from `(B, D)`."""
    return flags.any(dim=0).nonzero()[:, 0]
