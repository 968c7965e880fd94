"""Faults of the decision worker's bulkheads and budgets, each with a test that finds it."""

from __future__ import annotations

from tests.simulation.mutants import Mutant

_BULKHEAD = "kernel.db.bulkhead:in_parts"
_LEDGER = "decision.budgets.budgets:"

MUTANTS = {
    Mutant(
        "what fails for one fails for all",
        _BULKHEAD,
        "if _is_of_the_platform(error):",
        "if True:",
    ): "",
    Mutant(
        "jobs of a try that failed are sent",
        _BULKHEAD,
        "del work.jobs[n_jobs:]",
        "pass",
    ): "",
    Mutant(
        "of what is halved one is forgotten",
        _BULKHEAD,
        "(items[:middle], items[middle:])",
        "(items[:middle], items[middle + 1 :])",
    ): "",
    Mutant(
        "a database that is gone counts as a workload's fault",
        "kernel.db.bulkhead:_is_of_the_platform",
        "return isinstance(cause, _OF_THE_PLATFORM)",
        "return False",
    ): "",
    Mutant(
        "a workload that failed once is left out",
        "kernel.db.workload_errors:in_bulkheads",
        "groups = [well, *([id_] for id_ in ids if id_ in failing)]",
        "groups = [well]",
    ): "",
    Mutant(
        "what is set apart gets no decision",
        "decision.decide.service:decide_shard",
        "for one in parts.apart",
        "for one in ()",
    ): "",
    Mutant(
        "a job that comes again decides again",
        "decision.decide.service:decide_shard",
        "if (every and not found) or repository.is_past(",
        "if (every and not found) or (lambda *_: False)(",
    ): "",
    Mutant(
        "a rise holds nothing until it is made",
        _LEDGER + "note_decisions",
        "held = max(decision.current, decision.final) if is_applied else decision.current",
        "held = decision.current",
    ): "",
    Mutant(
        "what a fall frees is free at once",
        _LEDGER + "note_decisions",
        "held = max(decision.current, decision.final) if is_applied else decision.current",
        "held = decision.final if is_applied else decision.current",
    ): "",
    Mutant(
        "an old budget is believed",
        _LEDGER + "to_budgets",
        'row["gpus"] is not None and row["observed_at"] >= oldest',
        'row["gpus"] is not None',
    ): "",
    Mutant(
        "a budget that cannot be read is none",
        _LEDGER + "to_budgets",
        "if row is None:",
        'if row is None or row["gpus"] is None:',
    ): "",
    Mutant(
        "other shards hold nothing",
        _LEDGER + "Ledger._shares",
        ", *others]",
        "]",
    ): "",
    Mutant(
        "two shards share out a budget at once",
        _LEDGER + "open_ledger",
        "repository.lock_budgets(connection, types)",
        "pass",
    ): "",
}
"""Each with the test that fails with it."""
