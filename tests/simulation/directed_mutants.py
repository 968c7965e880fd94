"""Faults of the operator that no simulated run is known to tell apart, each with its test."""

from __future__ import annotations

from tests.simulation.mutants import Mutant

_PATCHES = "tests/unit/operator/reconcile/test_patch_scales.py::"
_DECISIONS = "tests/unit/operator/reconcile/test_apply_decisions.py::"
_LISTENER = "tests/integration/operator/test_listener.py::"
_MEMORY = "tests/unit/operator/reconcile/test_memory.py::"
_PLAN = "tests/unit/operator/plan/"

MUTANTS = {
    Mutant(
        "the count after a conflict counts as confirmed",
        "operator.reconcile.patch_scales:ScalePatch.send",
        "is_sure=False",
        "is_sure=True",
    ): _PATCHES + "test_a_count_that_was_found_is_not_sure",
    Mutant(
        "what failed slowly is sent again in the same pass",
        "operator.reconcile.patch_scales:ScalePatch.send",
        "is_slow = time.monotonic() - started_s > QUICK_S",
        "is_slow = False",
    ): _PATCHES + "test_what_failed_slowly_is_not_sent_again",
    Mutant(
        "what was to fall rises after a conflict",
        "operator.reconcile.patch_scales:ScalePatch._planned_again",
        "if was_fall and",
        "if False and",
    ): _PATCHES + "test_what_was_to_fall_and_would_rise_now_waits_for_a_look_at_the_budgets",
    Mutant(
        "what a patch left is not known where a list is older",
        "operator.reconcile.memory:PatchedScale.applied_to",
        "if not self.version or not self.is_news_to(state):",
        "if True:",
    ): _MEMORY + "test_a_list_from_before_a_patch_shows_what_the_patch_left",
    Mutant(
        "bounds are not checked at the patch",
        "operator.plan.plan:_within_bounds",
        "to_replicas = min(max(decision.desired, low), high)",
        "to_replicas = decision.desired",
    ): _PLAN + "test_plan.py::test_bounds_that_changed_since_are_kept_and_said",
    Mutant(
        "what was cut goes all the way after a conflict",
        "operator.plan.scaling:Scaling.cap",
        "capped = replace(action.decision, desired=count)",
        "capped = action.decision",
    ): _PLAN + "test_scaling.py::test_a_cap_is_applied_as_far_as_it_goes_and_says_why",
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
        "a decision that came late and is open counts as seen with a later one",
        "operator.reconcile.memory:Watermark.note",
        "if open_ids and",
        "if False and",
    ): _MEMORY + "test_a_watermark_waits_for_what_came_late_and_is_open",
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
