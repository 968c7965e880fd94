"""A webhook that hangs for one workload's scale delays no other workload."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulation.chance import PROFILES, QUIET
from tests.simulation.world import Hung, Size, World, simulated_time

_SIZE = Size(n_workloads=6, n_steps=10, n_quiet=14, every_s=15.0)
_LEAST = 15
_ONE_PATCH_S = 10.0
_PASSES_S = 2 * 15.0 + 10.0
"""Two passes, as far apart as those of a fleet without faults, and a turn of the loop."""


def hung_world(seed: int, hung: Hung) -> tuple[World, list[str]]:
    """A world without other faults, in which the first workload's targets cannot be scaled."""
    world = World(seed, _SIZE, replace(QUIET, late=0.5))
    world.every_s = 15.0
    first = min(world.watch.owner.values())
    names = [target for target, owner in world.watch.owner.items() if owner == first]
    world.hung = dict.fromkeys(names, hung)
    return world, names


def mean_wait_s(world: World, names: list[str]) -> float:
    """The mean time from when a decision could be read to its patch, of the other targets."""
    waits = [
        done.at_s - world.source.made[id_].stored_s
        for id_, patched in world.watch.patched_by.items()
        for target, done in patched.items()
        if target not in names
    ]
    assert len(waits) > _LEAST
    return float(sum(waits) / len(waits))


@pytest.mark.parametrize("seed", [12, 13])
def test_a_webhook_that_hangs_for_one_workload_delays_no_other(seed: int) -> None:
    """Sent again and again in each pass it held up the others by 35 to 45 s in the mean."""
    world, names = hung_world(seed, Hung(10.0, 500))
    world.run_without_end()
    assert world.n_faults > 0
    assert mean_wait_s(world, names) < _ONE_PATCH_S


@pytest.mark.parametrize("seed", [12, 14])
def test_what_is_carried_out_without_an_answer_keeps_every_invariant(seed: int) -> None:
    world, _ = hung_world(seed, Hung(20.0, 0))
    world.run()


def test_what_a_webhook_held_up_is_scaled_within_two_passes_after_it_answers() -> None:
    world, names = hung_world(11, Hung(10.0, 500))
    world.run_without_end()
    assert not [each for each in world.cluster.written if each.target in names]
    world.hung.clear()
    answers_s = world.now_s
    with simulated_time(world):
        world._one_step()
    done = [each for each in world.cluster.written if each.target in names]
    assert done
    assert min(each.at_s for each in done) - answers_s <= _PASSES_S


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 40, 20))
def test_invariants_hold_while_webhooks_hang(first: int) -> None:
    for seed in range(first, first + 20):
        world = World(seed, faults=replace(PROFILES[seed % len(PROFILES)], webhook=0.02))
        world.run()
