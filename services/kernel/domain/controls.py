"""Controls: values set through the API that take the place of those of a GPUAutoscaler.

Pure. The GPUAutoscaler stays the source of a workload's spec; the operator applies the controls
to it at every pass, so taking one away brings the object's own value back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from services.kernel.domain.parts import MOST_REPLICAS
from services.kernel.domain.workload import Mode, ScheduleSpec, WorkloadSpec

Direction = Literal["Both", "ScaleIn", "ScaleOut"]


class _Control(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PauseControl(_Control):
    """Nothing is applied in `direction` until `until_at` (None: until resumed)."""

    direction: Direction = "Both"
    until_at: AwareDatetime | None = None
    reason: str = Field("", max_length=500)

    def is_active(self, now: datetime) -> bool:
        """Check whether it holds at `now`."""
        return self.until_at is None or now < self.until_at


class PolicyControl(_Control):
    """Fields of the policy that are set here; None: as in the GPUAutoscaler.

    Attributes:
        price_usd_per_gpu_hour: Of a workload of one target; variants and pools keep their own.
    """

    mode: Mode | None = None
    min_replicas: int | None = Field(None, ge=0, le=MOST_REPLICAS)
    max_replicas: int | None = Field(None, ge=1, le=MOST_REPLICAS)
    epsilon: float | None = Field(None, gt=0, lt=1)
    price_usd_per_gpu_hour: float | None = Field(None, ge=0, allow_inf_nan=False)
    fallback_replicas: int | None = Field(None, ge=0, le=MOST_REPLICAS)


class Controls(_Control):
    """All that is set of one workload.

    Attributes:
        schedules: In place of the GPUAutoscaler's own; None: those stand.
    """

    pause: PauseControl | None = None
    schedules: tuple[ScheduleSpec, ...] | None = None
    policy: PolicyControl = PolicyControl()


class Freeze(_Control):
    """A change freeze between two times, for a workload, a namespace or the fleet."""

    namespace: str | None = None
    name: str | None = None
    direction: Literal["ScaleDown", "Both"] = "Both"
    from_at: AwareDatetime
    until_at: AwareDatetime
    reason: str = ""

    def covers(self, namespace: str, name: str, now: datetime) -> bool:
        """Check whether it holds for a workload at `now`."""
        is_meant = self.namespace in (None, namespace) and self.name in (None, name)
        return is_meant and self.from_at <= now < self.until_at


class Hold(NamedTuple):
    """A direction that is held until a time; None: until further notice.

    Attributes:
        source: Who holds it, as messages spell it.
    """

    direction: Direction
    until_at: datetime | None
    source: str = "the API"


class Laid(NamedTuple):
    """A spec with what was set laid over it.

    Attributes:
        left_out: Why fields of the policy that were set are left out, by their name: they do not
            fit the spec, which keeps its own values there.
    """

    spec: WorkloadSpec
    left_out: Mapping[str, str]


def lay_over(spec: WorkloadSpec, controls: Controls) -> Laid:
    """Lay the policy and the schedules that were set over a spec, each field by itself.

    Only a bound can fail to fit, beside the other bound, and a price, where variants or pools have
    one each. Such a field is left out by itself: whoever set the mode to `Advisory` must not lose
    that to a bound.
    """
    policy = controls.policy
    left_out = _misfit_bounds(spec, policy) | _misfit_price(spec, policy)
    kept = policy.model_dump(exclude={"epsilon", *left_out}, exclude_none=True)
    changes: dict[str, Any] = dict(kept)
    if policy.epsilon is not None:
        changes["sla"] = spec.sla.model_copy(update={"epsilon": policy.epsilon})
    if controls.schedules is not None:
        changes["schedules"] = controls.schedules
    return Laid(spec.model_copy(update=changes) if changes else spec, left_out)


def _misfit_bounds(spec: WorkloadSpec, policy: PolicyControl) -> dict[str, str]:
    """Bounds that do not fit, with why; of two that do not fit each other the lower one."""
    low, high = policy.min_replicas, policy.max_replicas
    if low is not None and high is not None and low <= high:
        return {}  # they take the place of both
    found: dict[str, str] = {}
    if high is not None and high < spec.min_replicas:
        found["max_replicas"] = (
            f"min_replicas={spec.min_replicas} must be <= max_replicas={high}; the former is the "
            "GPUAutoscaler's own"
        )
        high = None
    most = spec.max_replicas if high is None else high
    if low is not None and low > most:
        whose = "; the latter is the GPUAutoscaler's own" if high is None else ""
        found["min_replicas"] = f"min_replicas={low} must be <= max_replicas={most}{whose}"
    return found


def _misfit_price(spec: WorkloadSpec, policy: PolicyControl) -> dict[str, str]:
    """A price where each part has its own: it would be shown, and nothing reckoned with it."""
    price = policy.price_usd_per_gpu_hour
    if not spec.parts or price is None:
        return {}
    kind = "variants" if spec.variants else "pools"
    names = ", ".join(part.name for part in spec.parts)
    problem = (
        f"price_usd_per_gpu_hour={price:g}: the {kind} {names} have a price each; set them in the "
        f"GPUAutoscaler's spec.{kind}[].cost.perGpuHour, and leave this out"
    )
    return {"price_usd_per_gpu_hour": problem}


def held_until(pause: PauseControl | None, freezes: Sequence[Freeze], now: datetime) -> list[Hold]:
    """Holds at `now` by a pause and by the freezes that cover a workload."""
    held = [
        Hold("Both" if freeze.direction == "Both" else "ScaleIn", freeze.until_at, "a freeze")
        for freeze in freezes
    ]
    if pause is not None and pause.is_active(now):
        held.insert(0, Hold(pause.direction, pause.until_at))
    return held


def pause_changes(spec: WorkloadSpec, held: Sequence[Hold]) -> dict[str, Any]:
    """Fields of the spec that bring the holds about; the values are JSON.

    The longest of several holds counts; what the GPUAutoscaler's annotations hold stays held.
    """
    changes: dict[str, Any] = {}
    ends = [until for direction, until, _ in held if direction == "Both"]
    if ends:
        changes |= _longest(spec, ends)
    if any(hold.direction == "ScaleIn" for hold in held):
        changes["scale_out_only"] = True
    if any(hold.direction == "ScaleOut" for hold in held):
        changes["scale_in_only"] = True
    return changes


def _longest(spec: WorkloadSpec, ends: Sequence[datetime | None]) -> dict[str, Any]:
    if spec.paused and spec.paused_until is None:
        return {}
    own = _time(spec.paused_until)
    known = [end for end in (*ends, own) if end is not None]
    is_endless = None in ends or (spec.paused_until is not None and own is None)
    return {
        "paused": True,
        "paused_until": None if is_endless else max(known).isoformat(),
    }


def _time(text: str | None) -> datetime | None:
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def problem_of(error: ValidationError) -> str:
    """The first of what is wrong, with its field."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
