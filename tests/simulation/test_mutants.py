"""Every fault that is planted in the operator is found by a simulated run.

`known_seeds.json` says by which. Where the operator or its world has changed, another seed may
find it: the first ones are tried in turn, which takes longer. `HARMONY_UPDATE_GOLDEN=1` writes down
those that were found.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.simulation import directed_mutants
from tests.simulation.mutants import Mutant, planted
from tests.simulation.operator_mutants import MUTANTS
from tests.simulation.run import run_seed

MOST_SEEDS = 600
KNOWN = Path(__file__).with_name("known_seeds.json")


def seed_that_finds(mutant: Mutant, known: int) -> int | None:
    """The known seed or else the first that breaks an invariant, by the fault alone; None: none."""
    for seed in (known, *range(MOST_SEEDS)):
        with planted(mutant):
            is_broken = bool(run_seed(seed).message)
        if is_broken and not run_seed(seed).message:
            return seed
    return None


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_it_is_found(mutant: Mutant) -> None:
    known: dict[str, int] = json.loads(KNOWN.read_text())
    seed = seed_that_finds(mutant, known.get(mutant.name, 0))
    assert seed is not None, f"not found in {MOST_SEEDS} seeds: {mutant.name}"
    if os.environ.get("HARMONY_UPDATE_GOLDEN"):
        KNOWN.write_text(json.dumps(known | {mutant.name: seed}, indent=2, sort_keys=True) + "\n")


def test_known_seeds_are_of_faults_that_are_there() -> None:
    assert set(json.loads(KNOWN.read_text())) == {mutant.name for mutant in MUTANTS}


def test_there_are_enough_and_none_twice() -> None:
    every = [*MUTANTS, *directed_mutants.MUTANTS]
    assert len({mutant.name for mutant in every}) == len(every) >= 60


def test_the_product_is_whole_again_afterwards() -> None:
    with planted(MUTANTS[0]):
        assert "each patch has an intent before it" in run_seed(0).message
    assert run_seed(0).message == ""
