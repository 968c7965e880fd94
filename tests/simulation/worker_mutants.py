"""Faults of the decision worker's bulkheads and budgets, each with a test that finds it."""

from __future__ import annotations

from tests.simulation.mutants import Mutant

_BULKHEAD = "kernel.db.bulkhead:in_parts"
_LEDGER = "decision.budgets.budgets:"
_HOLDINGS = "tests/unit/decision/budgets/test_budgets.py::"
_BUDGETS = "tests/integration/decision/budgets/test_budgets.py::"
_LOCKS = "tests/integration/decision/budgets/test_repository.py::"
_DECIDE = "tests/integration/decision/decide/"
_ERRORS = "tests/integration/kernel/db/test_workload_errors.py::"
_BULKHEADS = "tests/integration/kernel/db/test_bulkhead.py::"

MUTANTS = {
    Mutant(
        "what fails for one fails for all",
        _BULKHEAD,
        "if _is_of_the_platform(error):",
        "if True:",
    ): _BULKHEADS + "test_every_item_is_done_once_or_set_apart",
    Mutant(
        "jobs of a try that failed are sent",
        _BULKHEAD,
        "del work.jobs[n_jobs:]",
        "pass",
    ): _BULKHEADS + "test_every_item_is_done_once_or_set_apart",
    Mutant(
        "of what is halved one is forgotten",
        _BULKHEAD,
        "(items[:middle], items[middle:])",
        "(items[:middle], items[middle + 1 :])",
    ): _BULKHEADS + "test_every_item_is_done_once_or_set_apart",
    Mutant(
        "a database that is gone counts as a workload's fault",
        "kernel.db.bulkhead:_is_of_the_platform",
        "return isinstance(error, (Unavailable, MemoryError)) or is_of_the_server(error)",
        "return False",
    ): _BULKHEADS + "test_a_fault_of_the_platform_is_not_taken_for_an_items",
    Mutant(
        "a workload that failed once is left out",
        "kernel.db.workload_errors:in_bulkheads",
        "groups = [well, *([id_] for id_ in ids if id_ in failing)]",
        "groups = [well]",
    ): _ERRORS + "test_who_failed_is_tried_alone_next_time",
    Mutant(
        "what is set apart gets no decision",
        "decision.decide.service:decide_shard",
        "for one in parts.apart",
        "for one in ()",
    ): _DECIDE
    + "test_bulkheads.py::test_what_was_learned_wrongly_is_left_out_and_a_lower_rung_answers",
    Mutant(
        "a job that comes again decides again",
        "decision.decide.service:decide_shard",
        "if (every and not found) or repository.is_past(",
        "if (every and not found) or (lambda *_: False)(",
    ): _DECIDE
    + "test_service.py::test_a_job_that_comes_again_for_a_past_origin_does_nothing_again",
    Mutant(
        "a rise holds nothing until it is made",
        _LEDGER + "note_decisions",
        "held = max(decision.current, decision.final) if is_applied else decision.current",
        "held = decision.current",
    ): _HOLDINGS + "test_a_rise_holds_from_its_decision_on_and_a_fall_until_it_is_made",
    Mutant(
        "what a fall frees is free at once",
        _LEDGER + "note_decisions",
        "held = max(decision.current, decision.final) if is_applied else decision.current",
        "held = decision.final if is_applied else decision.current",
    ): _HOLDINGS + "test_a_rise_holds_from_its_decision_on_and_a_fall_until_it_is_made",
    Mutant(
        "an old budget is believed",
        _LEDGER + "to_budgets",
        'row["gpus"] is not None and row["observed_at"] >= oldest',
        'row["gpus"] is not None',
    ): _BUDGETS + "test_a_budget_that_could_not_be_read_allows_no_increase",
    Mutant(
        "a budget that cannot be read is none",
        _LEDGER + "to_budgets",
        "if row is None:",
        'if row is None or row["gpus"] is None:',
    ): _BUDGETS + "test_a_budget_that_could_not_be_read_allows_no_increase",
    Mutant(
        "other shards hold nothing",
        _LEDGER + "Ledger._shares",
        ", *others]",
        "]",
    ): _BUDGETS + "test_a_shard_gets_what_the_others_do_not_hold",
    Mutant(
        "two shards share out a budget at once",
        _LEDGER + "open_ledger",
        "repository.lock_budgets(connection, types, cluster_id)",
        "pass",
    ): _LOCKS + "test_the_lock_is_held_until_the_decisions_are_committed",
}
"""Each with the test that fails with it."""
