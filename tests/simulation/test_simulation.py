"""The operator's state machine under faults: two leaders, crashes at any effect, one seed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import deque
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.simulation.chance import N_SHOWN, QUIET, Faults, Journal
from tests.simulation.mutants import planted
from tests.simulation.operator_mutants import MUTANTS
from tests.simulation.run import Outcome, run_seed
from tests.simulation.world import SMALL, Size, World

N_SEEDS = 200
REPO = Path(__file__).parents[2]
TINY = Size(n_workloads=4, n_steps=5, n_quiet=14)


@dataclass
class FullJournal(Journal):
    """A journal that keeps the text of every effect."""

    lines: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        super().note(line)
        self.lines.append(line)


@cache
def seen(seed: int) -> tuple[Outcome, FullJournal]:
    """A run and its effects: more than one test looks at the run of a seed."""
    journal = FullJournal()
    return run_seed(seed, journal=journal), journal


@pytest.mark.parametrize("first", range(0, 10, 5))
def test_invariants_hold(first: int) -> None:
    for seed in range(first, first + 5):
        outcome, _ = seen(seed)
        assert outcome.message == ""


@pytest.mark.slow
@pytest.mark.parametrize("first", [10, *range(20, N_SEEDS, 20)])
def test_invariants_hold_for_many_seeds(first: int) -> None:
    for seed in range(first, first // 20 * 20 + 20):
        outcome = run_seed(seed)
        assert outcome.message == ""


def test_a_quiet_world_applies_every_decision_once() -> None:
    world = World(7, TINY, QUIET)
    world.run()
    assert world.n_faults == world.n_crashes == 0
    assert {result for rows in world.watch.results.values() for _, result in rows} <= {
        "applied", "unchanged", "waiting", "superseded", "awaiting_approval",
        "expired",  # stored late, and valid for some seconds only
    }  # fmt: skip


@pytest.mark.slow
def test_every_kind_of_fault_strikes() -> None:
    """A fault that never strikes tests nothing."""
    text = "\n".join(line for seed in range(12) for line in seen(seed)[1].lines)
    for words in (
        "CRASH at commit", "CRASH at committed", "CRASH at write patch", "CRASH at written patch",
        "commit's answer is lost", "commit fails", "fails: ", "hangs for", "cut off", "stopped",
        "API server away", "database away", "stored late", ": timeout after",
        ": 500 after", ": 409", ": away", ": conflict", "approved", "budget ", "loses GPUs",
        "is deleted", "an HPA of", "holds [", "no_such_indicator", "forbidden",
        "deployments: a list from before", "controllers stand still",
    ):  # fmt: skip
        assert words in text, words


@pytest.mark.slow
def test_a_large_run_is_the_same_run_again_and_fast() -> None:
    """200 steps of 20 workloads; text hashes that differ must change nothing."""
    found_by = []
    for number in (1, 2):
        command = [sys.executable, "-m", "tests.simulation.run", "--seed", "1", "--large"]
        environment = os.environ | {"PYTHONHASHSEED": str(number), "PYTHONPATH": str(REPO)}
        found = subprocess.run(
            command, cwd=REPO, env=environment, capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stdout + found.stderr
        found_by.append(found.stdout.splitlines())
    (first, figures), (second, _) = found_by
    assert first == second, "the digests are the same"
    assert re.fullmatch(r"seed 1 holds; [0-9a-f]{32}", first)
    told = re.search(r" (\d+) crashes, .* (\d+) times real time$", figures)
    assert told, figures
    assert int(told[1]) >= 10
    assert int(told[2]) >= 500


def test_a_failure_names_the_seed_the_invariant_and_the_command() -> None:
    with planted(MUTANTS[0]):
        message = run_seed(0).message
    first, again, *_ = message.splitlines()
    assert re.fullmatch(
        r"seed 0, step \d+, [\d.]+ s: each patch has an intent before it: .*", first
    )
    assert again == "again: make simulate SEED=0"
    assert len(message.splitlines()) == 3 + N_SHOWN


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("seed", [0, 3])
def test_postgres_gives_the_very_same_run(seed: int, database: Engine) -> None:
    """What the tables in memory do is what the database does, to the last effect."""
    size = Size(SMALL.n_workloads, 10, 4)
    runs = [World(seed, size, Faults()), World(seed, size, Faults(), database)]
    for world in runs:
        world.journal.last = deque()
        world.run_without_end()
    assert runs[0].journal.n > 1000
    pairs = zip(runs[0].journal.last, runs[1].journal.last, strict=False)
    assert next((pair for pair in pairs if pair[0] != pair[1]), None) is None
    assert runs[0].journal.digest == runs[1].journal.digest
    assert runs[0].store.actions_after(0) == runs[1].store.actions_after(0)
