"""Prompts that begin alike."""

from __future__ import annotations

from collections import Counter

import numpy as np

from services.lab.arena.requests import RequestList
from services.lab.bench.llm.traces.prefixes import with_shared_prefixes


def test_whole_blocks_are_shared_and_the_first_text_most() -> None:
    n = 3000
    lengths = np.tile([100, 600, 5000], n // 3)
    requests = RequestList(np.arange(float(n)), lengths, np.ones(n, int))
    found = with_shared_prefixes(requests, 3, np.random.default_rng(7))
    assert found.prefix is not None
    assert set(found.prefix[0::3]) == {()}
    assert set(found.prefix[1::3]) == {(0,), (2,), (4,)}
    assert set(found.prefix[2::3]) == {(0, 1), (2, 3), (4, 5)}
    counts = Counter(found.prefix[2::3])
    assert counts[0, 1] > 1.5 * counts[2, 3] > 1.5 * counts[4, 5] > 0
    assert (found.input_tokens == lengths).all()
