"""The services' shared language."""

from services.kernel.domain.objective import GoalSpec, ObjectiveSpec, SliSeriesSpec
from services.kernel.domain.promise import (
    PromiseFigures,
    SliStatus,
    ViolationSource,
    promise_figures,
)
from services.kernel.domain.variants import VariantSpec
from services.kernel.domain.workload import (
    Behavior,
    CapacitySpec,
    FurtherLoadSpec,
    IndicatorSpec,
    LeadTimeSpec,
    ScalingPolicy,
    ScalingRules,
    ScheduleSpec,
    SlaSpec,
    WorkloadSpec,
    class_priority,
)

__all__ = [
    "Behavior",
    "CapacitySpec",
    "FurtherLoadSpec",
    "GoalSpec",
    "IndicatorSpec",
    "LeadTimeSpec",
    "ObjectiveSpec",
    "PromiseFigures",
    "ScalingPolicy",
    "ScalingRules",
    "ScheduleSpec",
    "SlaSpec",
    "SliSeriesSpec",
    "SliStatus",
    "VariantSpec",
    "ViolationSource",
    "WorkloadSpec",
    "class_priority",
    "promise_figures",
]
