"""The encoder: what a token may read, whatever stands beside it in the batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from forecaster.config import ModelConfig
from forecaster.network.encoder import Encoder

WIDTH, FEATURES = 5, 7


def make_encoder(attention: str) -> Encoder:
    config = ModelConfig(width=8, hidden=12, heads=2, attention=attention)
    encoder = Encoder(FEATURES, 4, 3, config, torch.Generator().manual_seed(1))
    with torch.no_grad():
        for block in encoder.blocks:
            block.gate.fill_(1.5)
    return encoder.eval()


def encode(encoder: Encoder, tokens: Tensor, levels: Tensor, has_data: Tensor) -> Tensor:
    n_rows = len(tokens)
    roles = torch.zeros_like(levels)
    workload = torch.zeros(n_rows, dtype=torch.int64)
    targets = torch.arange(WIDTH).expand(n_rows, -1)
    with torch.no_grad():
        result: Tensor = encoder(tokens, levels, has_data, roles, workload, targets)
    return result


@pytest.mark.parametrize("attention", ["hierarchical", "full", "none"])
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), n_rows=st.integers(2, 4))
def test_a_row_is_encoded_in_a_batch_as_it_is_alone(attention: str, seed: int, n_rows: int) -> None:
    """Rows of one batch have their levels in different places, and some have no data."""
    source = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 4, (n_rows, WIDTH), generator=source)
    has_data = torch.rand((n_rows, WIDTH), generator=source) < 0.6
    tokens = torch.randn((n_rows, WIDTH, FEATURES), generator=source)
    encoder = make_encoder(attention)
    together = encode(encoder, tokens, levels, has_data)
    for row in range(n_rows):
        one = slice(row, row + 1)
        alone = encode(encoder, tokens[one], levels[one], has_data[one])
        assert torch.allclose(together[one], alone, atol=1e-5)


@pytest.mark.parametrize(("attention", "reads_finer"), [("hierarchical", False), ("full", True)])
def test_a_token_reads_its_own_level_and_coarser_ones(attention: str, reads_finer: bool) -> None:
    encoder = make_encoder(attention)
    with torch.no_grad():
        encoder.blocks[-1].gate.zero_()  # leaves what the cascade has made of every token
    levels = torch.tensor([[3, 1, 2, 1, 3]])
    has_data = torch.ones_like(levels, dtype=torch.bool)
    tokens = torch.randn((1, WIDTH, FEATURES), generator=torch.Generator().manual_seed(3))
    before = encode(encoder, tokens, levels, has_data)
    for moved in range(WIDTH):
        changed = tokens.clone()
        changed[0, moved] += 1
        after = encode(encoder, changed, levels, has_data)
        did_move = ~torch.isclose(before, after, atol=1e-6).all(dim=2)[0]
        finer = levels[0] < levels[0, moved]
        assert bool(did_move[~finer].all())
        assert bool(did_move[finer].all()) is reads_finer or not finer.any()


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_where_all_are_of_one_level_levels_hide_nothing(seed: int) -> None:
    """To the byte: `services.lab.bench.loads` trains no network again there."""
    source = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 2, (3, WIDTH), generator=source)  # 0 is padding
    has_data = (torch.rand((3, WIDTH), generator=source) < 0.6) & (levels > 0)
    tokens = torch.randn((3, WIDTH, FEATURES), generator=source)
    hierarchical, full = (
        encode(make_encoder(kind), tokens, levels, has_data) for kind in ("hierarchical", "full")
    )
    assert torch.equal(hierarchical, full)


def test_tokens_without_anything_to_read_keep_their_value() -> None:
    encoder = make_encoder("hierarchical")
    closed = make_encoder("none")
    closed.load_state_dict(encoder.state_dict(), strict=False)
    levels = torch.tensor([[1, 2, 3, 0, 1]])
    nothing = torch.zeros_like(levels, dtype=torch.bool)
    tokens = torch.randn((1, WIDTH, FEATURES), generator=torch.Generator().manual_seed(4))
    assert torch.equal(
        encode(encoder, tokens, levels, nothing), encode(closed, tokens, levels, nothing)
    )
