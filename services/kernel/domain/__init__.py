"""The services' shared language."""

from services.kernel.domain.objective import GoalSpec, ObjectiveSpec, SliSeriesSpec
from services.kernel.domain.variants import VariantSpec
from services.kernel.domain.workload import (
    Behavior,
    CapacitySpec,
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
    "GoalSpec",
    "IndicatorSpec",
    "LeadTimeSpec",
    "ObjectiveSpec",
    "ScalingPolicy",
    "ScalingRules",
    "ScheduleSpec",
    "SlaSpec",
    "SliSeriesSpec",
    "VariantSpec",
    "WorkloadSpec",
    "class_priority",
]
