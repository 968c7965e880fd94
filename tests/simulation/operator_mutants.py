"""Faults of the operator; the simulation must find each of them."""

from __future__ import annotations

from tests.simulation import plan_mutants
from tests.simulation.mutants import Mutant

MUTANTS = (
    Mutant(
        "a scaling is patched without its intent",
        "operator.reconcile.intents:store_intents",
        "return intents_repository.store_intents(connection, rows)",
        "return {scaling.key for scaling in scalings}",
    ),
    Mutant(
        "rises are patched before falls",
        "operator.reconcile.patch_scales:patch_scalings",
        "order.sort(key=lambda pair: pair[1].is_rise)",
        "order.sort(key=lambda pair: not pair[1].is_rise)",
    ),
    Mutant(
        "a target that cannot be read holds nothing",
        "operator.reconcile.gpu_use:_use",
        "asked = unread if _is_unread(view, member) else 0",
        "asked = 0",
    ),
    Mutant(
        "what was last seen of a target that cannot be read does not count",
        "operator.reconcile.gpu_use:_least_held",
        "if known is None else known",
        "if known is None else 0",
    ),
    Mutant(
        "what was never seen holds its minimum",
        "operator.reconcile.gpu_use:_least_held",
        "each.most",
        "each.least",
    ),
    Mutant(
        "pools of a spec that went bad are not looked up",
        "operator.reconcile.gpu_use:_with_unlisted",
        "if not missing:",
        "if True:",
    ),
    Mutant(
        "a successor does not look at the version",
        "operator.reconcile.intents:_has_moved",
        "return bool(version) and",
        "return False and",
    ),
    Mutant(
        "what a successor found counts as confirmed",
        "operator.reconcile.intents:_parts",
        't["ratio"], False)',
        't["ratio"], True)',
    ),
    Mutant(
        "a spec that cannot be read holds nothing",
        "operator.reconcile.gpu_use:target_uses",
        "stored.get(autoscaler.key)",
        "None",
    ),
    Mutant(
        "the version is not checked",
        "operator.kube.client:KubeClient.patch_scale",
        '{"metadata": {"resourceVersion": resource_version}, "spec": {"replicas": replicas}}',
        '{"spec": {"replicas": replicas}}',
    ),
    Mutant(
        "what failed is recorded as applied",
        "operator.reconcile.patch_scales:ScalePatch.send",
        "else Result.FAILED",
        "else Result.APPLIED",
    ),
    Mutant(
        "open intents do not count for rates",
        "operator.reconcile.limits:_limit_rates",
        'by_workload[row["workload_id"]].append(row)',
        'by_workload[row["workload_id"]] += [row] if row["applied_at"] != now else []',
    ),
    Mutant(
        "budgets are not checked at the patch",
        "operator.reconcile.limits:limit_scalings",
        "_limit_gpus(connection, deps, fleet, scalings, newest, now)",
        "pass",
    ),
    Mutant(
        "rates are not checked at the patch",
        "operator.reconcile.limits:limit_scalings",
        "_limit_rates(connection, scalings, now - ahead)",
        "pass",
    ),
    Mutant(
        "a leader does not look at its lease",
        "operator.leadership.lease:Fence.is_open",
        "return self._leadership.term() == self._term",
        "return True",
    ),
    Mutant(
        "after a broken answer nobody looks whether it worked",
        "operator.reconcile.patch_scales:ScalePatch.send",
        "if scale.replicas == action.to_replicas and (is_unknown or self._was_tried(action)):",
        "if False:",
    ),
    Mutant(
        "targets whose autoscaler is gone hold nothing",
        "operator.reconcile.gpu_use:target_uses",
        "members += _left_behind(connection, now)",
        "pass",
    ),
    Mutant(
        "a budget that was deleted is lifted at once",
        "operator.reconcile.gpu_use:load_gpu_budgets",
        "known = gone | {",
        "known = {",
    ),
    Mutant(
        "an intent stays when its result is stored",
        "operator.reconcile.intents:store_results",
        "intents_repository.delete_intents(connection, settled)",
        "pass",
    ),
    Mutant(
        "after a conflict it is planned from the count of before",
        "operator.reconcile.patch_scales:ScalePatch._planned_again",
        "replace(self.situation, replicas=replicas)",
        "self.situation",
    ),
    Mutant(
        "a lease is taken as soon as its holder renews it late",
        "operator.leadership.leader:Elector.next_record",
        "now_s < self.seen.at_s + old.duration_s",
        "now_s < self.seen.at_s + 4.0",
    ),
    Mutant(
        "of several targets the first speaks for all",
        "operator.reconcile.intents:resolve_intent",
        'reached = [count == target["to"] for target, count in pairs]',
        'reached = [pairs[0][1] == pairs[0][0]["to"] for _ in pairs]',
    ),
    Mutant(
        "budgets that cannot be listed are none",
        "operator.reconcile.gpu_use:load_gpu_budgets",
        "if view.budgets is not None:",
        "if view.budgets is None:\n        known = {}\n    else:",
    ),
    Mutant(
        "what is decided between two passes sees no other pods and targets",
        "operator.reconcile.decision_pass:_look_again",
        "return replace(whole, autoscalers=autoscalers, targets=targets, pods=pods)",
        "return whole",
    ),
    Mutant(
        "rates are not checked after a conflict",
        "operator.reconcile.patch_scales:ScalePatch._limited",
        "if self.limit is None or not action.is_patch:",
        "if True:",
    ),
    Mutant(
        "an open intent is taken for applied without a look",
        "operator.reconcile.intents:resolve_intent",
        'reached = [count == target["to"] for target, count in pairs]\n'
        '    kept = [count == target["from"] for target, count in pairs]',
        "reached = [True for _ in pairs]\n    kept = [False for _ in pairs]",
    ),
    Mutant(
        "a decision gets two rows",
        "operator.reconcile.apply_decisions:to_rows",
        "for action in actions\n",
        "for one in actions for action in (one, replace(one, decision=replace("
        "one.decision, n_attempts=one.decision.n_attempts + 1)))\n",
    ),
    Mutant(
        "a successor leaves intents open",
        "operator.reconcile.intents:resolve_intents",
        "if not rows:",
        "if True:",
    ),
    Mutant(
        "an intent goes although nobody knows what became of it",
        "operator.reconcile.patch_scales:patch_scalings",
        "if n_left[scaling.key] == 0 or scaling.key not in tried:",
        "if True:",
    ),
    Mutant(
        "a pass that was held up speaks for another leader's scaling",
        "operator.reconcile.intents:store_results",
        "[row for row in rows if row[1] not in others]",
        "rows",
    ),
    Mutant(
        "what starts from another count is not announced again",
        "operator.reconcile.intents:announce_again",
        "return intents_repository.move_intent(work.connection, _row(scaling, now))",
        "return True",
    ),
    Mutant(
        "what was asked of a pool counts, not what was made of it",
        "operator.reconcile.limits:_past",
        "if name and parts is None:",
        "if name:\n"
        '        every = {each["name"]: each for each in row["variants"] or ()}\n'
        "        one = every.get(name)\n"
        '        asked = one and int(one["desired"]) - int(one["current"])\n'
        '        return None if one is None else PastChange(at, asked, row["is_sure"])\n'
        "    if False:",
    ),
    Mutant(
        "an id counts as seen at once",
        "operator.reconcile.memory:Watermark.note",
        "at_s - _SETTLE_S",
        "at_s",
    ),
    Mutant(
        "a target is patched before its intent is committed",
        "operator.reconcile.apply_decisions:_carry_out",
        "        stored = store_intents(work.connection, made, now)\n    patched",
        "        stored = store_intents(work.connection, made, now)\n        patched",
    ),
    Mutant(
        "after a conflict the decision is patched as it was planned",
        "operator.reconcile.patch_scales:ScalePatch.send",
        "if scale.replicas == action.from_replicas:",
        "if True:",
    ),
    Mutant(
        "every attempt is the first",
        "operator.reconcile.apply_decisions:to_decision",
        'n_attempts=row["n_attempts"]',
        "n_attempts=0",
    ),
    Mutant(
        "what another hand set is taken for the scaling that was announced",
        "operator.reconcile.intents:resolve_intent",
        "elif not all(r or k for r, k in zip(reached, kept, strict=True)):",
        "elif False:",
    ),
    *plan_mutants.MUTANTS,
)
