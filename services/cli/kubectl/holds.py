"""What holds a workload beside the annotations of its object: a pause of the API, and freezes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from services.admin.controls.schemas import PauseView
from services.admin.freezes.schemas import FreezeView
from services.admin.workloads.schemas import WorkloadView
from services.cli.kubectl.api import AdminApi
from services.cli.kubectl.pause import stamp

_WHAT = {"Both": "", "ScaleIn": "scaling in ", "ScaleOut": "scaling out "}


class ApiHold(NamedTuple):
    """Something that `resume` does not end.

    Attributes:
        direction: `Both`, `ScaleIn` or `ScaleOut`.
        words: Who holds what until when, and what ends it.
    """

    direction: str
    words: str


def to_holds(pause: PauseView, freezes: Iterable[FreezeView]) -> list[ApiHold]:
    """Holds of the workload of a pause, by that and by freezes in force."""
    namespace, name = pause.namespace, pause.workload
    found = []
    if pause.source == "api" and pause.direction is not None:
        until = "" if pause.until_at is None else f" until {stamp(pause.until_at)}"
        words = (
            f"{_WHAT[pause.direction]}paused through the API{until}{_because(pause.reason)}; "
            f"DELETE /v1/workloads/{namespace}/{name}/pause, or the console, ends it"
        )
        found.append(ApiHold(pause.direction, words))
    for freeze in freezes:
        is_meant = freeze.namespace in (None, namespace) and freeze.workload in (None, name)
        if not (freeze.is_in_force and is_meant):
            continue
        direction = "Both" if freeze.direction == "Both" else "ScaleIn"
        words = (
            f"{_WHAT[direction]}held by freeze {freeze.id} until {stamp(freeze.until_at)}"
            f"{_because(freeze.reason)}; DELETE /v1/freezes/{freeze.id}, or the console, ends it"
        )
        found.append(ApiHold(direction, words))
    return found


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""


def load_holds(api: AdminApi, namespace: str, name: str) -> list[ApiHold]:
    """What the API holds of a workload.

    Raises:
        HarmonyError: It cannot be asked, or knows no such workload.
    """
    return to_holds(api.pause(namespace, name), api.freezes(namespace))


def holds_of_paused(
    api: AdminApi, workloads: Sequence[WorkloadView]
) -> Mapping[tuple[str, str], list[ApiHold]]:
    """What the API holds of workloads of which everything is held; of others nothing is asked."""
    paused = [(one.namespace, one.name) for one in workloads if one.is_paused]
    freezes = {namespace: api.freezes(namespace) for namespace in {key[0] for key in paused}}
    return {key: to_holds(api.pause(*key), freezes[key[0]]) for key in paused}
