"""`kubectl harmony approve|reject|pause|resume`: annotations of a GPUAutoscaler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.admin.rest.formats import usd
from services.cli.kubectl.approve import Case, approve_changes, reject_changes
from services.cli.kubectl.holds import load_holds
from services.cli.kubectl.pause import (
    describe_pause,
    pause_annotations,
    pause_changes,
    resume_changes,
    stamp,
    to_wanted_pause,
)
from services.cli.kubectl.same_cluster import check_same_cluster
from services.cli.kubectl.session import (
    FAILED,
    AsJson,
    Context,
    InCluster,
    KeyFile,
    Names,
    Namespace,
    Server,
    Session,
    each,
    only_one,
    session,
)
from services.cli.output import console, print_json
from services.kernel.errors import HarmonyError
from services.operator.resource.translate import to_autoscaler

if TYPE_CHECKING:
    from services.cli.kubectl.cluster import Object


class DryRun(StrEnum):
    """Option that keeps a change or only has it checked."""

    NONE = "none"
    SERVER = "server"


DecisionOption = Annotated[
    int | None, typer.Option("--decision", min=1, help="Id of the decision; default: the newest.")
]
DryRunOption = Annotated[
    DryRun, typer.Option("--dry-run", help="server: the API server checks, nothing is kept.")
]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", help="RFC 3339 with an offset, e.g. 2026-01-05T18:00:00Z."),
]
ForOption = Annotated[str | None, typer.Option("--for", help="Duration: 30m, 2h, 1d12h.")]
ScaleInOption = Annotated[
    bool, typer.Option("--scale-in-only", help="Hold decreases only; increases go on.")
]
ScaleOutOption = Annotated[
    bool, typer.Option("--scale-out-only", help="Hold increases only; decreases go on.")
]
Changed = dict[str, Any]


def register_writes(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    approve, reject = _verdict(_approve), _verdict(_reject)
    app.command("approve", short_help="Approve the decision that waits.", help=_APPROVE)(approve)
    app.command("reject", short_help="Reject the decision that waits.", help=_REJECT)(reject)
    app.command(short_help="Stop scaling, for a while or until resume.")(pause)
    app.command(short_help="Take a pause away.")(resume)


_APPROVE = """Approve the decision that waits, in mode Approval; the operator applies it in seconds.

A decision that expired, was superseded by another count, or needs no approval is refused.

\b
kubectl harmony approve llama -n serving
kubectl harmony approve llama -n serving --decision 4711
"""
_REJECT = """Reject the decision that waits: an approval of it is taken back, and the no is kept.

The next decision may ask for the same again; `kubectl harmony pause` ends the asking.

\b
kubectl harmony reject llama -n serving
"""


def _verdict(give: Callable[[Session, Case, DryRun], Changed]) -> Callable[..., None]:
    """The command that gives a verdict by `give`: both verdicts have the same options."""

    def command(  # noqa: PLR0913 - one option each
        context: typer.Context,
        names: Names,
        decision: DecisionOption = None,
        namespace: Namespace = None,
        kube_context: Context = None,
        server: Server = None,
        key_file: KeyFile = None,
        in_cluster: InCluster = None,
        dry_run: DryRunOption = DryRun.NONE,
        as_json: AsJson = False,
    ) -> None:
        if decision is not None:
            only_one(names, "--decision")
        with session(context, namespace, kube_context, server, key_file, in_cluster) as asked:
            found, is_complete = each(
                names, lambda name: give(asked, _case(asked, name, decision), dry_run)
            )
        _show(found, as_json, is_complete)

    return command


def pause(  # noqa: PLR0913 - one option each
    context: typer.Context,
    names: Names,
    until: UntilOption = None,
    for_: ForOption = None,
    is_scale_in: ScaleInOption = False,
    is_scale_out: ScaleOutOption = False,
    namespace: Namespace = None,
    kube_context: Context = None,
    dry_run: DryRunOption = DryRun.NONE,
    as_json: AsJson = False,
) -> None:
    """Stop Harmony from scaling, for a while or until `resume`; it goes on deciding and showing.

    The pause becomes exactly what is asked for, whatever was paused before.

    \b
    kubectl harmony pause llama -n serving --for 2h
    kubectl harmony pause llama embed -n serving --until 2026-01-05T18:00:00Z
    kubectl harmony pause llama -n serving --scale-in-only
    """  # noqa: D301 - \b keeps the lines apart in --help
    with session(context, namespace, kube_context) as asked:
        now = asked.clock.now()
        changes = pause_changes(to_wanted_pause(until, for_, is_scale_in, is_scale_out, now))
        found, is_complete = each(
            names,
            lambda name: _set_pause(
                asked, asked.cluster.autoscaler(asked.namespace, name), changes, dry_run, now
            ),
        )
    _show(found, as_json, is_complete)


def resume(  # noqa: PLR0913 - one option each
    context: typer.Context,
    names: Names,
    namespace: Namespace = None,
    kube_context: Context = None,
    server: Server = None,
    key_file: KeyFile = None,
    in_cluster: InCluster = None,
    dry_run: DryRunOption = DryRun.NONE,
    as_json: AsJson = False,
) -> None:
    """Take a pause by annotation away, whichever it is; say what else holds the service.

    A pause that was made through the API or in the console, and a freeze, stay: exit status 1.
    So does a freeze of spec.schedules, which is not a pause.

    \b
    kubectl harmony resume llama -n serving
    """  # noqa: D301 - \b keeps the lines apart in --help
    with session(context, namespace, kube_context, server, key_file, in_cluster) as asked:
        now = asked.clock.now()
        found, is_complete = each(names, lambda name: _resume(asked, name, dry_run, now))
    _show(found, as_json, is_complete)
    if any(change["held_by"] for change in found):
        raise typer.Exit(1)


def _resume(asked: Session, name: str, dry_run: DryRun, now: datetime) -> Changed:
    """Take the pause of one away; `held_by` is what else holds it, None where that is unknown."""
    resource = asked.cluster.autoscaler(asked.namespace, name)
    held, still = _held(asked, name, resource)
    changed = _set_pause(asked, resource, resume_changes(), dry_run, now)
    return changed | {"did": f"{changed['did']}{still}", "held_by": held}


def _held(asked: Session, name: str, resource: Object) -> tuple[list[str] | None, str]:
    """What the API says that holds an object, and that in words; None: it is not known."""
    try:
        workload = asked.api.workload(asked.namespace, name)
        held = [hold.words for hold in load_holds(asked.api, asked.namespace, name)]
    except HarmonyError as error:
        return None, f"; what else may hold it is not known: {error.message}"
    check_same_cluster(asked.cluster, resource, asked.api.server, workload)
    return held, "".join(f"; still {words}" for words in held)


def _case(asked: Session, name: str, decision_id: int | None) -> Case:
    resource = asked.cluster.autoscaler(asked.namespace, name)
    workload = asked.api.workload(asked.namespace, name)
    check_same_cluster(asked.cluster, resource, asked.api.server, workload)
    newest = asked.api.newest_decision(asked.namespace, name)
    mode = workload.mode
    own_mode = str((resource.get("spec") or {}).get("mode", "Advisory"))
    return Case(
        mode=mode,
        autoscaler=to_autoscaler(resource, {}),
        decision=asked.api.decision(decision_id or newest.id),
        newest=newest,
        is_named=decision_id is not None,
        user=asked.cluster.user(),
        own_mode="" if own_mode == mode else own_mode,
    )


def _approve(asked: Session, case: Case, dry_run: DryRun) -> Changed:
    changes = approve_changes(case, asked.now())
    decision = case.decision
    money = usd(decision.cost_delta_usd_per_h, is_signed=True)
    did = (
        f"{'already approved' if case.is_approved else 'approved'}: {decision.current_replicas} → "
        f"{decision.desired_replicas} replicas, {money} per hour; counts until "
        f"{stamp(case.ends_at)}"
    )
    return _annotate(asked, case, changes, dry_run, did)


def _reject(asked: Session, case: Case, dry_run: DryRun) -> Changed:
    changes = reject_changes(case)
    taken_back = "; its approval is taken back" if case.is_approved else ""
    return _annotate(asked, case, changes, dry_run, f"rejected{taken_back}")


def _annotate(
    asked: Session, case: Case, changes: Mapping[str, str | None], dry_run: DryRun, did: str
) -> Changed:
    namespace, name = case.autoscaler.key
    asked.cluster.annotate(namespace, name, changes, dry_run is DryRun.SERVER)
    return {
        "workload": f"{namespace}/{name}",
        "decision_id": case.decision.id,
        "did": f"decision {case.decision.id} {did}",
        "annotations": dict(changes),
        "is_dry_run": dry_run is DryRun.SERVER,
    }


def _set_pause(
    asked: Session,
    resource: Object,
    changes: Mapping[str, str | None],
    dry_run: DryRun,
    now: datetime,
) -> Changed:
    namespace, name = asked.namespace, str(resource["metadata"]["name"])
    before = _annotations(resource)
    after = {k: v for k, v in {**pause_annotations(before), **changes}.items() if v is not None}
    is_changed = after != pause_annotations(before)
    if is_changed:
        answer = asked.cluster.annotate(namespace, name, changes, dry_run is DryRun.SERVER)
        after = pause_annotations(_annotations(answer))
    was = describe_pause(before, now)
    did = f"{describe_pause(after, now)} (was: {was})" if is_changed else f"{was} already"
    return {
        "workload": f"{namespace}/{name}",
        "did": did,
        "before": pause_annotations(before),
        "after": after,
        "is_dry_run": dry_run is DryRun.SERVER,
    }


def _annotations(resource: Object) -> dict[str, str]:
    return dict((resource.get("metadata") or {}).get("annotations") or {})


def _show(found: list[Changed], as_json: bool, is_complete: bool) -> None:
    if as_json:
        print_json({"items": found})
    for change in () if as_json else found:
        dry = " (dry run: nothing was kept)" if change["is_dry_run"] else ""
        console.print(f"{change['workload']}: {change['did']}{dry}", soft_wrap=True, markup=False)
    if not is_complete:
        raise typer.Exit(FAILED)
