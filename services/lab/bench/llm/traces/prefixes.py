"""Prompts that begin alike, as those of one service with a few system prompts do.

Shapes: N requests.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.lab.arena.requests import RequestList

BLOCK_TOKENS = 512
"""Tokens of a block: what an engine's cache shares at the least."""
N_BLOCKS = 2
"""Blocks of each text."""


def with_shared_prefixes(
    requests: RequestList, n_texts: int, rng: np.random.Generator
) -> RequestList:
    """Requests whose prompts each begin with one of some texts; lengths stay as they are.

    The texts have `N_BLOCKS` blocks; of a shorter prompt whole blocks alone are shared. The second
    text is asked for half as often as the first, the third a third as often, and so on.

    Args:
        requests: Requests, whose own prefixes are replaced.
        n_texts: Texts, >= 1.
        rng: Source of chance.
    """
    weights = 1.0 / np.arange(1, n_texts + 1)
    texts = rng.choice(n_texts, len(requests), p=weights / weights.sum())
    n_shared = np.minimum(requests.input_tokens // BLOCK_TOKENS, N_BLOCKS)
    return replace(
        requests,
        prefix=tuple(
            tuple(range(N_BLOCKS * text, N_BLOCKS * text + n))
            for text, n in zip(texts.tolist(), n_shared.tolist(), strict=True)
        ),
    )
