"""Whether it is known how many more replicas could have GPUs; pure."""

from __future__ import annotations

from services.operator.plan.plan import Situation
from services.operator.report.facts import FALSE, TRUE, AutoscalerFacts, Finding

_NAME = "RoomUnknown"


def room_unknown(facts: AutoscalerFacts) -> Finding:
    """Whether something that could hold replicas back cannot be read, and what is lost by that."""
    whole = facts.situation
    found = [_obstacle(each) for each in (tuple(part for _, part in whole.parts) or (whole,))]
    obstacles = [each for each in found if each is not None]
    if obstacles:
        return obstacles[0]
    queue = whole.queue
    return Finding(_NAME, FALSE, "NothingUnread", "" if queue is None else queue.message)


def _obstacle(situation: Situation) -> Finding | None:
    queue, spec, claims = situation.queue, situation.spec, situation.claims
    if claims is not None and not claims.is_known:
        return Finding(_NAME, TRUE, claims.reason, claims.message)
    if queue is not None and queue.gpus is None:
        return Finding(_NAME, TRUE, queue.reason, queue.message)
    if spec is None or situation.replicas is None or situation.is_room_known:
        return None
    message = (
        f"no node is known that offers {spec.gpu_type} as a resource that its pods ask for, so "
        "nothing is held back for want of GPUs: correct gpuType or the pods' resources, or grant "
        "the operator list and watch on nodes"
    )
    return Finding(_NAME, TRUE, "NodesUnknown", message)
