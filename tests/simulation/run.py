"""`python -m tests.simulation.run`: many seeds of the simulation, or one with its effects.

Prints what was run, each seed that breaks an invariant, and how many times faster than real time
the runs went, by this process's own CPU time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pool

from tests.simulation.world import LARGE, SMALL, Size, Violation, World


@dataclass(frozen=True)
class Outcome:
    """What came of one seed.

    Attributes:
        message: The invariant that did not hold; empty: all did.
        cpu_s: CPU seconds of the run.
    """

    seed: int
    message: str
    digest: str
    simulated_s: float
    cpu_s: float
    n_effects: int
    n_faults: int
    n_crashes: int
    n_patches: int
    n_actions: int


def run_seed(seed: int, size: Size = SMALL) -> Outcome:
    """Run one seed from its beginning."""
    started_s, world, message = time.process_time(), World(seed, size), ""
    try:
        world.run()
    except Violation as violation:
        message = str(violation)
    return Outcome(
        seed,
        message,
        world.journal.digest,
        world.now_s,
        time.process_time() - started_s,
        world.journal.n,
        world.n_faults,
        world.n_crashes,
        world.watch.n_patches,
        world.watch.n_actions,
    )


def _run_large(seed: int) -> Outcome:
    return run_seed(seed, LARGE)


def summary(outcomes: Sequence[Outcome]) -> str:
    simulated_s, cpu_s = (sum(getattr(o, n) for o in outcomes) for n in ("simulated_s", "cpu_s"))
    names = ("n_effects", "n_faults", "n_crashes", "n_patches", "n_actions")
    counts = ", ".join(f"{sum(getattr(o, n) for o in outcomes)} {n[2:]}" for n in names)
    n_failed = sum(bool(o.message) for o in outcomes)
    return (
        f"{len(outcomes)} seeds, {n_failed} failed; {counts}; {simulated_s:.0f} s simulated in "
        f"{cpu_s:.1f} s of CPU: {simulated_s / cpu_s:.0f} times real time"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many (300)")
    parser.add_argument("--first", type=int, default=0, help="the first one (0)")
    parser.add_argument("--seed", type=int, help="this one only")
    parser.add_argument("--large", action="store_true", help="200 steps of 20 workloads each")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    given = parser.parse_args(arguments)
    run = _run_large if given.large else run_seed
    if given.seed is not None:
        outcome = run(given.seed)
        print(outcome.message or f"seed {given.seed} holds; {outcome.digest}")
        print(summary([outcome]))
        return int(bool(outcome.message))
    outcomes = []
    with Pool(given.workers) as pool:
        seeds = range(given.first, given.first + given.seeds)
        for outcome in pool.imap_unordered(run, seeds, chunksize=4):
            outcomes.append(outcome)
            if outcome.message:
                print(outcome.message, flush=True)
            if len(outcomes) % 500 == 0:
                print(summary(outcomes), flush=True)
    print(summary(outcomes))
    return int(any(outcome.message for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
