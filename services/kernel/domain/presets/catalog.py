"""All presets by name, and their indicators for one workload."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from services.kernel.domain.presets.dcgm import DCGM
from services.kernel.domain.presets.dynamo import DYNAMO
from services.kernel.domain.presets.kserve import KSERVE
from services.kernel.domain.presets.opentelemetry import OPENTELEMETRY
from services.kernel.domain.presets.pickers import GATEWAY, LLM_D
from services.kernel.domain.presets.sglang import SGLANG
from services.kernel.domain.presets.shape import Preset
from services.kernel.domain.presets.tensorrt_llm import TENSORRT_LLM
from services.kernel.domain.presets.tgi import TGI
from services.kernel.domain.presets.triton import TENSORRT_LLM_TRITON, TRITON
from services.kernel.domain.presets.vllm import VLLM
from services.kernel.domain.workload import IndicatorSpec

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        *(VLLM, SGLANG, TGI, TENSORRT_LLM, TENSORRT_LLM_TRITON, TRITON),
        *(KSERVE, DYNAMO, GATEWAY, LLM_D, OPENTELEMETRY, DCGM),
    )
}
REPLICA_PRESETS = tuple(name for name, preset in PRESETS.items() if preset.place == "replica")
"""Presets whose metrics are found by the names of a workload's own pods."""


def find_preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
        ValueError: There is none.
    """
    if name not in PRESETS:
        raise ValueError(f"preset={name!r} must be one of {sorted(PRESETS)}")
    return PRESETS[name]


def preset_indicators(
    presets: Sequence[str],
    namespace: str | None,
    workloads: Sequence[str],
    loads: Collection[str] | None = None,
) -> tuple[IndicatorSpec, ...]:
    """The indicators of some presets for one workload; of a name given twice the first counts.

    Args:
        presets: Keys of `PRESETS`, e.g. `("vllm", "dcgm")`.
        namespace: Namespace of the workload; None leaves `$namespace` to be filled in.
        workloads: Names of its scale targets, one for each variant; their pods are named
            `<target>-…`. Empty leaves `$pod` to be filled in.
        loads: Names of the offered loads that are wanted; None: all.

    Raises:
        ValueError: A preset is unknown, or a name is not one of Kubernetes.
    """
    check_names("namespace", [] if namespace is None else [namespace])
    check_names("workload", workloads)
    found: dict[str, IndicatorSpec] = {}
    for preset in presets:
        for indicator in find_preset(preset).indicators:
            if indicator.is_offered and loads is not None and indicator.name not in loads:
                continue
            found.setdefault(
                indicator.name,
                IndicatorSpec(
                    name=indicator.name,
                    level=indicator.level,
                    unit=indicator.unit,
                    query=filled(indicator.expression, namespace, workloads),
                ),
            )
    return tuple(found.values())


def filled(expression: str, namespace: str | None, workloads: Sequence[str]) -> str:
    """A preset's expression with the names of one workload; see `preset_indicators`."""
    if namespace is not None:
        expression = expression.replace("$namespace", namespace)
    if not workloads:
        return expression
    # in a PromQL string the backslash of the regular expression is itself escaped
    names = [workload.replace(".", "\\\\.") for workload in workloads]
    pods = names[0] if len(names) == 1 else f"({'|'.join(names)})"
    return expression.replace("$pod", f"{pods}-.*")


def check_names(label: str, names: Sequence[str]) -> None:
    """See that names may stand in a query.

    Raises:
        ValueError: One is not a name of Kubernetes.
    """
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{label}={name!r} must be a Kubernetes name, e.g. 'llama-70b'")
