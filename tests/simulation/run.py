"""`python -m tests.simulation.run`: many seeds of the simulation, or one with its effects.

Prints what was run, each seed that breaks an invariant, and how many times faster than real time
the runs went, by this process's own CPU time. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from hashlib import blake2b
from multiprocessing import get_context
from pathlib import Path

import orjson

from tests.simulation.chance import Journal
from tests.simulation.world import LARGE, SMALL, Size, Violation, World

_ROOT = Path(__file__).parents[2]
_ROOMS = ("services/operator", "services/kernel", "tests/simulation")
_LOG = Path("build/simulate.jsonl")


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


def run_seed(seed: int, size: Size = SMALL, journal: Journal | None = None) -> Outcome:
    """Run one seed from its beginning; its effects go into `journal`, where one is given."""
    started_s, world, message = time.process_time(), World(seed, size), ""
    world.journal = journal or world.journal
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


def read_seeds(written: str) -> range:
    """Seeds `a..b`, both ends included, or the first `n`.

    Raises:
        ValueError: It is neither.
    """
    first, dots, last = written.partition("..")
    found = range(int(first), int(last) + 1) if dots else range(int(first))
    if not found:
        raise ValueError(f"{written!r} has no seeds; write e.g. 300..999")
    return found


def code_digest() -> str:
    """Of the text that a run depends on: of other text nothing is known."""
    found = blake2b(digest_size=8)
    for room in _ROOMS:
        for path in sorted((_ROOT / room).rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()


class Log:
    """Outcomes in a file, a line each, so that a run that was stopped goes on where it was."""

    def __init__(self, path: Path, of: str) -> None:
        self._path = path
        self._of = of

    def load(self) -> dict[int, Outcome]:
        """Outcomes of the same code and size, by seed."""
        if not self._path.exists():
            return {}
        rows = [orjson.loads(line) for line in self._path.read_bytes().splitlines()]
        return {row["seed"]: Outcome(**row) for of, row in rows if of == self._of}

    def add(self, outcome: Outcome) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(orjson.dumps([self._of, asdict(outcome)]) + b"\n")


def run_all(seeds: Sequence[int], log: Log, *, is_large: bool, n_workers: int) -> list[Outcome]:
    """Run every seed that the log lacks; prints those that fail as they come."""
    known = log.load()
    outcomes = [known[seed] for seed in seeds if seed in known]
    if outcomes:
        print(f"{len(outcomes)} seeds were run before", flush=True)
    for outcome in outcomes:
        if outcome.message:
            print(outcome.message, flush=True)
    left = [seed for seed in seeds if seed not in known]
    run = _run_large if is_large else run_seed
    with ExitStack() as stack:
        found = map(run, left)
        if n_workers > 1:  # not forked: a thread of this process may hold any lock
            pool = stack.enter_context(get_context("spawn").Pool(n_workers))
            found = pool.imap_unordered(run, left, chunksize=4)
        for outcome in found:
            log.add(outcome)
            outcomes.append(outcome)
            if outcome.message:
                print(outcome.message, flush=True)
            if len(outcomes) % 500 == 0:
                print(summary(outcomes), flush=True)
    return outcomes


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description=__doc__)
    parser.add_argument("--seeds", default="300", help="a..b, or how many from 0 on (300)")
    parser.add_argument("--seed", type=int, help="this one only")
    parser.add_argument("--large", action="store_true", help="200 steps of 20 workloads each")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("--log", type=Path, default=_LOG, help=f"outcomes ({_LOG})")
    given = parser.parse_args(arguments)
    if given.seed is not None:
        outcome = (_run_large if given.large else run_seed)(given.seed)
        print(outcome.message or f"seed {given.seed} holds; {outcome.digest}")
        print(summary([outcome]))
        return int(bool(outcome.message))
    try:
        seeds = read_seeds(given.seeds)
    except ValueError as error:
        parser.error(f"--seeds {error}")
    log = Log(given.log, f"{code_digest()} {'large' if given.large else 'small'}")
    outcomes = run_all(seeds, log, is_large=given.large, n_workers=given.workers)
    print(summary(outcomes))
    return int(any(outcome.message for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
