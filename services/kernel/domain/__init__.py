"""The services' shared language."""

from services.kernel.domain.lead_time import LeadTimeSpec
from services.kernel.domain.objective import GoalSpec, ObjectiveSpec, SliSeriesSpec
from services.kernel.domain.part_specs import part_spec, part_specs
from services.kernel.domain.parts import PartSpec
from services.kernel.domain.pools import PoolSpec
from services.kernel.domain.promise import (
    PromiseFigures,
    SliStatus,
    ViolationSource,
    promise_figures,
    step_promise,
)
from services.kernel.domain.stored_spec import StoredTarget, known_spec, read_spec, stored_targets
from services.kernel.domain.variants import VariantSpec
from services.kernel.domain.workload import (
    Behavior,
    CapacitySpec,
    FurtherLoadSpec,
    IndicatorSpec,
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
    "PartSpec",
    "PoolSpec",
    "PromiseFigures",
    "ScalingPolicy",
    "ScalingRules",
    "ScheduleSpec",
    "SlaSpec",
    "SliSeriesSpec",
    "SliStatus",
    "StoredTarget",
    "VariantSpec",
    "ViolationSource",
    "WorkloadSpec",
    "class_priority",
    "known_spec",
    "part_spec",
    "part_specs",
    "promise_figures",
    "read_spec",
    "step_promise",
    "stored_targets",
]
