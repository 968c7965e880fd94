"""Faults of the operator that no simulated run is known to tell apart, each with its test."""

from __future__ import annotations

from tests.simulation.mutants import Mutant

_PATCHES = "tests/unit/operator/reconcile/test_patch_scales.py::"
_DECISIONS = "tests/unit/operator/reconcile/test_apply_decisions.py::"
_LISTENER = "tests/integration/operator/test_listener.py::"

MUTANTS = {
    Mutant(
        "a list that is older than a patch is believed",
        "operator.reconcile.gpu_use:asked_for",
        "is_news = patched is not None and patched.is_news_to(state)",
        "is_news = False",
    ): _PATCHES + "test_a_list_that_is_older_than_a_patch_is_known_to_be",
    Mutant(
        "what another hand changed after a broken answer is planned again",
        "operator.reconcile.patch_scales:ScalePatch.send",
        "if is_unknown and version not in older",
        "if False and version not in older",
    ): _PATCHES + "test_what_another_hand_set_after_a_broken_answer_is_unknown",
    Mutant(
        "a new term believes what was read in a former one",
        "operator.listener:ReconcileLoop._change_term",
        "self._deps.memory.forget()",
        "pass",
    ): _LISTENER + "test_a_new_term_believes_nothing_that_was_read_in_a_former_one",
    Mutant(
        "a decision that was left without an action counts as seen",
        "operator.reconcile.apply_decisions:remember_decisions",
        '("", Result.WAITING)',
        "(Result.WAITING,)",
    ): _DECISIONS + "test_a_decision_without_an_action_holds_the_watermark_back",
}
"""Each with the test that fails with it."""
