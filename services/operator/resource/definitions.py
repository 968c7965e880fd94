"""The custom resource definitions, made from the models of `spec.py` and `status.py`.

`python -m services.operator.resource.definitions [FOLDER]` writes them as YAML (default
`helm/harmony/crds`); a golden test holds the files equal to the models.

A structural schema is a small dialect of JSON Schema: every node has a type, nothing is
referenced, and `anyOf` with null does not exist; see "Specifying a structural schema" in the
Kubernetes documentation of custom resource definitions.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from services.operator.resource.admission import (
    GPU_AUTOSCALER_RULES,
    GPU_BUDGET_RULES,
    SLA_CLASS_RULES,
    CelRule,
)
from services.operator.resource.fields import GROUP, VERSION, ResourceModel
from services.operator.resource.spec import GPUAutoscalerSpec, GPUBudgetSpec, SLAClassSpec
from services.operator.resource.status import GPUAutoscalerStatus, GPUBudgetStatus, SLAClassStatus

Schema = dict[str, Any]

_DROPPED = ("title", "additionalProperties")


@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """A printer column of `kubectl get`."""

    name: str
    path: str
    kind: str = "string"
    is_wide: bool = False
    description: str = ""

    def to_manifest(self) -> dict[str, Any]:
        """The column as the definition spells it."""
        column: dict[str, Any] = {"name": self.name, "type": self.kind, "jsonPath": self.path}
        if self.description:
            column["description"] = self.description
        if self.is_wide:
            column["priority"] = 1
        return column


@dataclass(frozen=True, slots=True)
class Definition:
    """One custom resource."""

    kind: str
    plural: str
    short_name: str
    is_namespaced: bool
    spec: type[ResourceModel]
    status: type[ResourceModel]
    rules: tuple[CelRule, ...] = ()
    columns: tuple[PrinterColumn, ...] = ()
    list_keys: tuple[tuple[str, str], ...] = ()
    sets: tuple[str, ...] = ()
    description: str = ""


_AGE = PrinterColumn("AGE", ".metadata.creationTimestamp", "date")


def _condition_column(name: str, condition: str, *, is_wide: bool = False) -> PrinterColumn:
    path = f'.status.conditions[?(@.type=="{condition}")].status'
    return PrinterColumn(name, path, is_wide=is_wide)


GPU_AUTOSCALER = Definition(
    "GPUAutoscaler",
    "gpuautoscalers",
    "gpua",
    True,
    GPUAutoscalerSpec,
    GPUAutoscalerStatus,
    rules=GPU_AUTOSCALER_RULES,
    columns=(
        PrinterColumn(
            "TARGET",
            ".status.target",
            description="What is scaled, or the count of each variant or pool",
        ),
        PrinterColumn("MODE", ".spec.mode"),
        PrinterColumn("MIN", ".spec.minReplicas", "integer"),
        PrinterColumn("MAX", ".spec.maxReplicas", "integer"),
        PrinterColumn("CURRENT", ".status.currentReplicas", "integer"),
        PrinterColumn("DESIRED", ".status.desiredReplicas", "integer"),
        PrinterColumn("RISK", ".status.risk.estimated", "number", description="Estimated risk"),
        PrinterColumn(
            "BUDGET", ".status.risk.budgetRemaining", "number", description="Error budget left"
        ),
        _condition_column("FALLBACK", "Fallback"),
        _condition_column("PAUSED", "Paused"),
        PrinterColumn("WANTS", ".status.recommendedReplicas", "integer", is_wide=True),
        _condition_column("READY", "Ready", is_wide=True),
        PrinterColumn("REASON", ".status.lastDecision.reason", is_wide=True),
        _AGE,
    ),
    list_keys=(
        ("spec.indicators", "name"),
        ("spec.capacity.alsoBoundBy", "indicator"),
        ("spec.sla.objective.goals", "metric"),
        ("spec.schedules", "name"),
        ("spec.variants", "name"),
        ("spec.pools", "name"),
        ("status.variants", "name"),
        ("status.conditions", "type"),
    ),
    sets=("spec.indicatorsFrom", "spec.pools[].boundBy"),
    description="Scales one GPU service ahead of its demand, under a stated SLA risk.",
)

SLA_CLASS = Definition(
    "SLAClass",
    "slaclasses",
    "slac",
    False,
    SLAClassSpec,
    SLAClassStatus,
    rules=SLA_CLASS_RULES,
    columns=(
        PrinterColumn("EPSILON", ".spec.risk.epsilon"),
        PrinterColumn("KIND", ".spec.risk.kind"),
        PrinterColumn("WINDOW", ".spec.risk.window"),
        PrinterColumn("PRIORITY", ".spec.priority", "integer"),
        _AGE,
    ),
    list_keys=(("spec.objective.goals", "metric"), ("status.conditions", "type")),
    description="A promise that several GPUAutoscalers make, and how much it weighs.",
)

GPU_BUDGET = Definition(
    "GPUBudget",
    "gpubudgets",
    "gpub",
    False,
    GPUBudgetSpec,
    GPUBudgetStatus,
    rules=GPU_BUDGET_RULES,
    columns=(
        PrinterColumn("GPU", ".spec.gpuType"),
        PrinterColumn("GPUS", ".spec.gpus", "integer"),
        PrinterColumn("USED", ".status.usedGpus", "integer"),
        PrinterColumn("SUPPLY", ".status.supply.mode"),
        PrinterColumn("CEILING", ".status.supply.ceiling", "integer"),
        PrinterColumn("HEADROOM", ".status.supply.headroom.gpus", "integer"),
        _condition_column("READY", "Ready"),
        PrinterColumn("REASON", '.status.conditions[?(@.type=="Ready")].reason'),
        _AGE,
    ),
    list_keys=(("status.conditions", "type"),),
    description="GPUs of one type that all services together may use.",
)

DEFINITIONS = (GPU_AUTOSCALER, SLA_CLASS, GPU_BUDGET)


def structural(schema: Schema, definitions: Schema | None = None) -> Schema:
    """`schema` in the dialect of Kubernetes: references inlined, nulls and titles dropped."""
    definitions = schema.get("$defs", definitions or {})
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[1]]
        own = {name: value for name, value in schema.items() if name != "$ref"}
        return structural({**target, **own}, definitions)
    if "anyOf" in schema:
        (real,) = [option for option in schema["anyOf"] if option != {"type": "null"}]
        own = {name: value for name, value in schema.items() if name != "anyOf"}
        return structural({**real, **own}, definitions)
    found: Schema = {}
    for name, value in schema.items():
        if name in _DROPPED or name == "$defs" or (name == "default" and value is None):
            continue
        if name == "const":
            found["enum"] = [value]
        elif name == "properties":
            found[name] = {key: structural(child, definitions) for key, child in value.items()}
        elif name == "items":
            found[name] = structural(value, definitions)
        else:
            found[name] = " ".join(value.split()) if name == "description" else value
    return found


def _node(schema: Schema, path: str) -> Schema:
    for part in path.split("."):
        schema = schema["properties"][part.removesuffix("[]")]
        if part.endswith("[]"):
            schema = schema["items"]
    return schema


def open_api_schema(definition: Definition) -> Schema:
    """The whole structural schema of a resource, with its CEL rules."""
    text = {"type": "string"}
    schema: Schema = {
        "type": "object",
        "description": definition.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": dict(text),
            "kind": dict(text),
            "metadata": {"type": "object"},
            "spec": structural(definition.spec.model_json_schema(mode="validation")),
            "status": structural(definition.status.model_json_schema(mode="validation")),
        },
    }
    for rule in definition.rules:
        rules = _node(schema, rule.path).setdefault("x-kubernetes-validations", [])
        rules.append({"rule": rule.rule, "message": rule.message})
    for path, key in definition.list_keys:
        node = _node(schema, path)
        node["x-kubernetes-list-type"] = "map"
        node["x-kubernetes-list-map-keys"] = [key]
    for path in definition.sets:
        _node(schema, path)["x-kubernetes-list-type"] = "set"
    return schema


def to_crd(definition: Definition) -> dict[str, Any]:
    """The `CustomResourceDefinition` of a resource."""
    names = {
        "kind": definition.kind,
        "listKind": f"{definition.kind}List",
        "plural": definition.plural,
        "singular": definition.kind.lower(),
        "shortNames": [definition.short_name],
        "categories": ["harmony"],
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": open_api_schema(definition)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [column.to_manifest() for column in definition.columns],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{definition.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if definition.is_namespaced else "Cluster",
            "names": names,
            "versions": [version],
        },
    }


def manifests() -> list[dict[str, Any]]:
    """The `CustomResourceDefinition` of every resource, ready to be created."""
    return [to_crd(definition) for definition in DEFINITIONS]


class _PlainDumper(yaml.SafeDumper):
    """Repeats a list that occurs twice rather than writing a YAML alias for it."""

    def ignore_aliases(self, data: object) -> bool:
        """Never an alias."""
        return True


def rendered() -> dict[str, str]:
    """YAML of every definition by file name."""
    header = (
        "# Made by `python -m services.operator.resource.definitions`; "
        "change services/operator/resource/spec.py.\n"
    )
    return {
        f"{definition.plural}.yaml": header
        + yaml.dump(to_crd(definition), Dumper=_PlainDumper, sort_keys=False, width=100)
        for definition in DEFINITIONS
    }


def main(arguments: list[str]) -> None:
    """Write the definitions into the folder given, or the chart's."""
    chart = Path(__file__).parents[3] / "helm" / "harmony" / "crds"
    folder = Path(arguments[0]) if arguments else chart
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in rendered().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
