"""Every planted fault is found, within at most 200 seeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.mutants import Mutant, planted
from tests.simulation.operator_mutants import MUTANTS
from tests.simulation.run import run_seed

MOST_SEEDS = 200


def seeds_until_found(mutant: Mutant) -> int | None:
    """How many seeds it takes; None: all of them hold."""
    with planted(mutant):
        for seed in range(MOST_SEEDS):
            if run_seed(seed).message:
                return seed + 1
    return None


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_it_is_found(mutant: Mutant, record_property: Callable[[str, object], None]) -> None:
    n_seeds = seeds_until_found(mutant)
    record_property("seeds", n_seeds)
    assert n_seeds is not None, f"not found in {MOST_SEEDS} seeds: {mutant.name}"


def test_there_are_enough_and_none_twice() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 20


def test_the_product_is_whole_again_afterwards() -> None:
    with planted(MUTANTS[0]):
        assert "each patch has an intent before it" in run_seed(0).message
    assert run_seed(0).message == ""
