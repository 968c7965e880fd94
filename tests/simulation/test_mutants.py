"""Every fault that is planted in the operator is found by a simulated run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation import directed_mutants
from tests.simulation.mutants import Mutant, planted
from tests.simulation.operator_mutants import MUTANTS
from tests.simulation.run import run_seed

MOST_SEEDS = 200


def seed_that_finds(mutant: Mutant) -> int | None:
    """The first seed that breaks an invariant; None: all of them hold.

    The one that is known comes first: while nothing else changes, it is the only one.
    """
    with planted(mutant):
        for seed in (mutant.seed, *range(MOST_SEEDS)):
            if run_seed(seed).message:
                return seed
    return None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_it_is_found(mutant: Mutant, record_property: Callable[[str, object], None]) -> None:
    seed = seed_that_finds(mutant)
    record_property("seed", seed)
    assert seed is not None, f"not found in {MOST_SEEDS} seeds: {mutant.name}"


def test_there_are_enough_and_none_twice() -> None:
    every = [*MUTANTS, *directed_mutants.MUTANTS]
    assert len({mutant.name for mutant in every}) == len(every) >= 60


def test_the_product_is_whole_again_afterwards() -> None:
    with planted(MUTANTS[0]):
        assert "each patch has an intent before it" in run_seed(0).message
    assert run_seed(0).message == ""
