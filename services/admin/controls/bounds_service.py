"""Who may set over REST what outranks the needs of other namespaces under a GPU budget.

A budget is of a GPU type in a cluster, so many namespaces share it. Under it a minimum comes before
everybody's needs, and a price weighs what a workload would lose. What the GPUAutoscaler states of
both is for those to allow who let it be written; a key of some namespaces adds nothing to it.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from services.admin.controls import repository
from services.admin.controls.translate import Controlled
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.controls import Controls, lay_over
from services.kernel.errors import Forbidden
from services.kernel.security.keys import FLEET, Principal, Role


def check_raised(
    connection: Connection, principal: Principal, found: Controlled, after: Controls
) -> None:
    """Refuse a caller of some namespaces what would take GPUs from the others'.

    What was there before, whoever set it, keeps nobody from another change.

    Raises:
        Forbidden: It is raised beyond what the GPUAutoscaler says, and a type has a budget.
    """
    if principal.may(Role.OPERATOR, FLEET):
        return
    problem = next(_raised(found, after), None)
    if problem is None:
        return
    budgeted = repository.load_budgeted(connection, sorted(_gpu_types(found.own)))
    if budgeted:
        raise Forbidden(
            f"{problem} while {', '.join(budgeted)} has a GPU budget, which other namespaces "
            "share: let somebody with the role operator in the whole cluster set it, or have the "
            "GPUAutoscaler changed"
        )


def _raised(found: Controlled, after: Controls) -> Iterator[str]:
    """What is raised beyond the GPUAutoscaler's own and what was set before, in words."""
    own, before = found.own, lay_over(found.own, found.controls).spec
    now = lay_over(own, after).spec
    most = max(own.min_replicas, before.min_replicas)
    if now.min_replicas > most:
        yield f"min_replicas={now.min_replicas} must be <= {most} for a key of some namespaces"
    known = {*own.schedules, *before.schedules}
    for one in now.schedules:
        if one not in known and one.min_replicas is not None and one.min_replicas > most:
            yield (
                f"min_replicas={one.min_replicas} of schedule {one.name!r} must be <= {most} "
                "for a key of some namespaces"
            )
    dearest = max(own.price_usd_per_gpu_hour, before.price_usd_per_gpu_hour)
    if now.price_usd_per_gpu_hour > dearest:
        yield (
            f"price_usd_per_gpu_hour={now.price_usd_per_gpu_hour:g} must be <= {dearest:g} "
            "for a key of some namespaces"
        )


def _gpu_types(spec: WorkloadSpec) -> set[str]:
    return {part.gpu_type for part in spec.parts} or {spec.gpu_type}
