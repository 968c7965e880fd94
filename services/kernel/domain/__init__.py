"""The services' shared language."""

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
    "IndicatorSpec",
    "LeadTimeSpec",
    "ScalingPolicy",
    "ScalingRules",
    "ScheduleSpec",
    "SlaSpec",
    "VariantSpec",
    "WorkloadSpec",
    "class_priority",
]
