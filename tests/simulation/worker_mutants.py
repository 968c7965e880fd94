"""Faults of the decision worker's bulkheads and budgets, and of the scaler, each with its test."""

from __future__ import annotations

from tests.simulation.mutants import Mutant

_BULKHEAD = "kernel.db.bulkhead:in_parts"
_LEDGER = "decision.budgets.budgets:"
_HOLDINGS = "tests/unit/decision/budgets/test_budgets.py::"
_BUDGETS = "tests/integration/decision/budgets/test_budgets.py::"
_LOCKS = "tests/integration/decision/budgets/test_repository.py::"
_POOLS = "tests/integration/decision/budgets/test_part_budgets_pools.py::"
_ADVICE = "tests/unit/scaler/test_plan.py::"
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
        "decision.decide.service:_decide_group",
        "for one in parts.apart",
        "for one in ()",
    ): _DECIDE
    + "test_bulkheads.py::test_what_was_learned_wrongly_is_left_out_and_a_lower_rung_answers",
    Mutant(
        "a job that comes again decides again",
        "decision.decide.service:_of_turn",
        "if is_past or not found else",
        "if not found else",
    ): _DECIDE
    + "test_service.py::test_a_job_that_comes_again_for_a_past_origin_does_nothing_again",
    Mutant(
        "a rise holds nothing until it is made",
        _LEDGER + "note_decisions",
        "most = max(decision.current, decision.final)",
        "most = decision.current",
    ): _HOLDINGS + "test_a_rise_holds_from_its_decision_on_and_a_fall_until_it_is_made",
    Mutant(
        "what a fall frees is free at once",
        _LEDGER + "note_decisions",
        "most = max(decision.current, decision.final)",
        "most = decision.final",
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
        "repository.lock_budgets(connection, sorted({*types, *beside}), cluster_id)",
        "pass",
    ): _LOCKS + "test_the_lock_is_held_until_the_decisions_are_committed",
    Mutant(
        "a decision that has run out holds what it granted",
        "decision.budgets.holdings:to_holding",
        'row["valid_until"] > now',
        "True",
    ): _LOCKS + "test_a_decision_that_has_expired_or_is_not_applied_grants_nothing",
    Mutant(
        "a pool's scaling whose outcome is open holds nothing",
        "decision.budgets.part_budgets:part_holdings",
        'count = max(count, (row["intended"] or {}).get(part.name, 0))',
        "pass",
    ): _POOLS + "test_a_scaling_of_a_pool_whose_outcome_is_open_holds_what_it_asks_for",
    Mutant(
        "an advice goes on after its decision has ended",
        "scaler.plan:advise",
        "if now >= decision.valid_until:",
        "if False:",
    ): _ADVICE + "test_the_decision_is_advised_until_its_end_exactly",
    Mutant(
        "a pause moves who follows",
        "scaler.plan:advise",
        "if stopped:",
        "if False:",
    ): _ADVICE + "test_a_pause_holds_the_count_of_the_target",
    Mutant(
        "what is not approved is advised",
        "scaler.plan:_not_followed",
        "if not _is_asked_for(spec, decision):",
        "if True:",
    ): _ADVICE + "test_what_is_not_approved_is_held_and_says_why",
}
"""Each with the test that fails with it."""
