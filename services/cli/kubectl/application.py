"""`kubectl harmony …`: why, what would change, approvals, pauses, history of GPUAutoscalers.

`docs/kubectl.md` says which API each command asks, and why.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from services.admin.decisions.schemas import DecisionDetail
from services.admin.workloads.schemas import WorkloadView
from services.cli.kubectl.diff import render_diff, to_diff_row
from services.cli.kubectl.explain import render_decision
from services.cli.kubectl.history import HistoryRow, render_history, to_history_rows
from services.cli.kubectl.holds import holds_of_paused
from services.cli.kubectl.session import (
    FAILED,
    PROGRAM,
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
    print_error,
    session,
)
from services.cli.kubectl.write import register_writes
from services.cli.output import HELP, Version, console, print_json
from services.cli.usage import USAGE_ERROR, usage_line
from services.kernel.clock import Clock
from services.kernel.errors import HarmonyError, InvalidInput

app = typer.Typer(
    name=PROGRAM,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=HELP,
    help=(
        "Ask Harmony why it scales, see what it would do, approve, pause.\n\n"
        "explain, diff and history read the admin API: set HARMONY_URL (or --server) and "
        "HARMONY_KEY_FILE (or --key-file, or HARMONY_KEY). approve and reject read it too and "
        "write an annotation through your kubeconfig; pause needs the kubeconfig alone, and resume "
        "asks the API what else holds the service."
        "\n\nErrors are one line and exit status 2."
    ),
)


@app.callback(invoke_without_command=True)
def kubectl_harmony(_version: Version = False) -> None:
    """Options of the program itself; its help is the one above."""


@app.command(short_help="Say why a decision was made.")
def explain(  # noqa: PLR0913 - one option each
    context: typer.Context,
    names: Names,
    decision: Annotated[
        int | None, typer.Option(min=1, help="Id of the decision; default: the newest.")
    ] = None,
    namespace: Namespace = None,
    kube_context: Context = None,
    server: Server = None,
    key_file: KeyFile = None,
    in_cluster: InCluster = None,
    as_json: AsJson = False,
) -> None:
    """Say why a decision was made: replicas, reason, risk, forecast, guards, what if.

    \b
    kubectl harmony explain llama -n serving
    kubectl harmony explain llama -n serving --decision 4711
    kubectl harmony explain llama --json | jq '.items[0].explanation.guard_trace'
    """  # noqa: D301 - \b keeps the lines apart in --help
    if decision is not None:
        only_one(names, "--decision")
    with session(context, namespace, kube_context, server, key_file, in_cluster) as asked:
        found, is_complete = each(names, lambda name: _explained(asked, name, decision))
        now = asked.now()
    if as_json:
        print_json({"items": [detail.model_dump() for detail, _ in found]})
    for detail, workload in () if as_json else found:
        console.print(render_decision(detail, workload, now))
    _end(is_complete)


def _explained(
    asked: Session, name: str, decision_id: int | None
) -> tuple[DecisionDetail, WorkloadView]:
    workload = asked.api.workload(asked.namespace, name)
    if decision_id is None:
        decision_id = asked.api.newest_decision(asked.namespace, name).id
    detail = asked.api.decision(decision_id)
    if (detail.namespace, detail.workload) != (asked.namespace, name):
        raise InvalidInput(
            f"decision {decision_id} belongs to {detail.namespace}/{detail.workload}, not to "
            f"{asked.namespace}/{name}"
        )
    return detail, workload


@app.command(short_help="Show what would change against what runs.")
def diff(  # noqa: PLR0913 - one option each
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Default: all.")] = None,
    is_all: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Everywhere.")] = False,
    namespace: Namespace = None,
    kube_context: Context = None,
    server: Server = None,
    key_file: KeyFile = None,
    in_cluster: InCluster = None,
    as_json: AsJson = False,
) -> None:
    """Show what Harmony would do now against what runs.

    Exit status 0: everything runs as recommended; 1: something differs; 2: an error, or nothing
    can be said of a workload because it has no valid decision.

    \b
    kubectl harmony diff -n serving
    kubectl harmony diff -A
    kubectl harmony diff llama -n serving || echo "Harmony would change it"
    """  # noqa: D301 - \b keeps the lines apart in --help
    with session(context, namespace, kube_context, server, key_file, in_cluster) as asked:
        if is_all and (names or namespace):
            raise InvalidInput("--all-namespaces goes without NAME and --namespace")
        if names:
            found, is_complete = each(names, lambda n: asked.api.workload(asked.namespace, n))
        else:
            found, is_complete = asked.api.workloads(None if is_all else asked.namespace), True
        holds = holds_of_paused(asked.api, found)
        now = asked.now()
    rows = [to_diff_row(one, now, holds.get((one.namespace, one.name), ())) for one in found]
    if as_json:
        print_json({"items": [row.to_json() for row in rows]})
    else:
        console.print(render_diff(rows, is_all, now))
    _end(is_complete and not any(row.problem for row in rows))
    if any(row.is_different for row in rows):
        raise typer.Exit(1)


@app.command(short_help="Show decisions, what was done and what came of them.")
def history(  # noqa: PLR0913 - one option each
    context: typer.Context,
    names: Names,
    limit: Annotated[int, typer.Option(min=1, max=5000, help="Newest decisions to show.")] = 20,
    changes: Annotated[
        bool, typer.Option("--changes", help="Leave out decisions to hold.")
    ] = False,
    namespace: Namespace = None,
    kube_context: Context = None,
    server: Server = None,
    key_file: KeyFile = None,
    in_cluster: InCluster = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest decisions with what was done and what came of them.

    RISK is what the decision expected to be out of SLA, MEASURED what then was.

    \b
    kubectl harmony history llama -n serving
    kubectl harmony history llama -n serving --changes --limit 50
    """  # noqa: D301 - \b keeps the lines apart in --help
    with session(context, namespace, kube_context, server, key_file, in_cluster) as asked:
        found, is_complete = each(names, lambda name: _history(asked, name, limit, changes))
    if as_json:
        print_json(
            {"items": [row.to_json() | {"workload": n} for n, rows in found for row in rows]}
        )
    for name, rows in () if as_json else found:
        console.print(render_history(name, rows))
    _end(is_complete)


def _history(
    asked: Session, name: str, limit: int, has_changes: bool
) -> tuple[str, list[HistoryRow]]:
    namespace = asked.namespace
    decisions = asked.api.decisions(namespace, name, limit, has_changes=has_changes)
    outcomes: list[Any] = []
    if decisions:
        outcomes = asked.api.outcomes(namespace, name, decisions[-1].origin_at)
    return f"{namespace}/{name}", to_history_rows(decisions, outcomes)


def _end(is_complete: bool) -> None:
    if not is_complete:
        raise typer.Exit(FAILED)


register_writes(app)


def main(arguments: Sequence[str] | None = None, clock: Clock | None = None) -> int:
    """Run the plugin.

    Args:
        arguments: Command line without the program's name; None: the process's own.
        clock: Time that expiries and ages are measured against; None: the machine's.

    Returns:
        The exit status.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        status = app(given or ["--help"], prog_name=PROGRAM, standalone_mode=False, obj=clock)
    except HarmonyError as error:
        print_error(error.message)
        return FAILED
    except USAGE_ERROR as error:
        print_error(usage_line(error, given, PROGRAM))
        return FAILED
    except (KeyboardInterrupt, typer.Abort):
        print_error("stopped")
        return 130
    return int(status or 0)
