"""Every planted fault is found, within at most 200 seeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from _pytest.mark import ParameterSet

from tests.simulation.mutants import Mutant, planted
from tests.simulation.operator_mutants import MUTANTS
from tests.simulation.run import run_seed

MOST_SEEDS = 200


def seed_that_finds(mutant: Mutant) -> int | None:
    """The first seed that breaks an invariant; None: all of them hold.

    The one that is known comes first: while nothing else changes, it is the only one.
    """
    known = () if mutant.seed is None else (mutant.seed,)
    with planted(mutant):
        for seed in (*known, *range(MOST_SEEDS)):
            if run_seed(seed).message:
                return seed
    return None


def _case(mutant: Mutant) -> ParameterSet:
    marks = [pytest.mark.slow] if mutant.seed is None else []
    return pytest.param(mutant, id=mutant.name.replace(" ", "-"), marks=marks)


@pytest.mark.parametrize("mutant", [_case(mutant) for mutant in MUTANTS])
def test_it_is_found(mutant: Mutant, record_property: Callable[[str, object], None]) -> None:
    seed = seed_that_finds(mutant)
    record_property("seed", seed)
    assert seed is not None, f"not found in {MOST_SEEDS} seeds: {mutant.name}"


def test_there_are_enough_and_none_twice() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 60


def test_the_product_is_whole_again_afterwards() -> None:
    with planted(MUTANTS[0]):
        assert "each patch has an intent before it" in run_seed(0).message
    assert run_seed(0).message == ""
