"""The parts that dashboards are made of: queries, panels, variables, annotations."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

PROMETHEUS: Json = {"type": "prometheus", "uid": "${datasource}"}
POSTGRES: Json = {"type": "grafana-postgresql-datasource", "uid": "${postgres}"}
GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"


def _one_line(query: str) -> str:
    """A query as it is stored: no indentation of the source."""
    return " ".join(textwrap.dedent(query).split())


@dataclass(frozen=True)
class Sql:
    """A query of Postgres; `table` rows, or `time_series` with a first column `time`."""

    text: str
    form: str = "time_series"

    def to_target(self, ref: str) -> Json:
        """The target of a panel."""
        return {
            "refId": ref,
            "datasource": POSTGRES,
            "format": self.form,
            "rawQuery": True,
            "editorMode": "code",
            "rawSql": _one_line(self.text),
        }


@dataclass(frozen=True)
class Prom:
    """A query of Prometheus and how its series are named."""

    text: str
    legend: str = "__auto"

    def to_target(self, ref: str) -> Json:
        """The target of a panel."""
        return {
            "refId": ref,
            "datasource": PROMETHEUS,
            "editorMode": "code",
            "range": True,
            "expr": _one_line(self.text),
            "legendFormat": self.legend,
        }


@dataclass(frozen=True)
class Panel:
    """A panel but for its place.

    Attributes:
        kind: Grafana's panel type.
        title: Heading.
        about: What it shows and how to read it.
        queries: One or more, all of one data source.
        width: Of 24.
        height: In rows of the grid.
        unit: Grafana's unit.
        decimals: Digits after the point.
        steps: Thresholds: (from this value on, colour), rising; the first is the base.
        overrides: (column or /expression/, property, value).
        custom: Further drawing options of the fields.
        options: Further options of the panel.
    """

    kind: str
    title: str
    about: str
    queries: Sequence[Sql | Prom]
    width: int = 12
    height: int = 8
    unit: str = "short"
    decimals: int | None = None
    steps: Sequence[tuple[float | None, str]] = ()
    overrides: Sequence[tuple[str, str, Any]] = ()
    custom: Json = field(default_factory=dict)
    options: Json = field(default_factory=dict)

    def to_json(self, number: int, x: int, y: int) -> Json:
        """The panel at a place."""
        targets = [query.to_target("ABCDEFGH"[i]) for i, query in enumerate(self.queries)]
        defaults: Json = {"unit": self.unit, "custom": _CUSTOM.get(self.kind, {}) | self.custom}
        if self.decimals is not None:
            defaults["decimals"] = self.decimals
        if self.steps:
            steps = [{"color": colour, "value": value} for value, colour in self.steps]
            defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        if self.steps and self.kind == "timeseries":
            defaults["custom"] = defaults["custom"] | {"thresholdsStyle": {"mode": "dashed"}}
        if not self.steps:
            base = [{"color": BLUE, "value": None}]
            defaults["thresholds"] = {"mode": "absolute", "steps": base}
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.about,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "datasource": targets[0]["datasource"],
            "targets": targets,
            "fieldConfig": {"defaults": defaults, "overrides": _overrides(self.overrides)},
            "options": _OPTIONS.get(self.kind, {}) | self.options,
        }


@dataclass(frozen=True)
class Row:
    """A heading across the dashboard; the panels after it stand below."""

    title: str


_CUSTOM: dict[str, Json] = {
    "timeseries": {
        "drawStyle": "line",
        "lineWidth": 2,
        "fillOpacity": 0,
        "showPoints": "auto",
        "spanNulls": False,
    },
    "barchart": {"fillOpacity": 80, "lineWidth": 0},
    "table": {"align": "auto", "cellOptions": {"type": "auto"}},
}
_OPTIONS: dict[str, Json] = {
    "timeseries": {
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "none"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "auto",
    },
    "barchart": {"orientation": "horizontal", "legend": {"showLegend": False}},
    "table": {"showHeader": True, "cellHeight": "sm"},
}
STACKED: Json = {"fillOpacity": 40, "lineWidth": 1, "stacking": {"mode": "normal", "group": "A"}}
STEPPED: Json = {"lineInterpolation": "stepAfter"}


def _overrides(given: Sequence[tuple[str, str, Any]]) -> list[Json]:
    found: dict[str, list[Json]] = {}
    for name, prop, value in given:
        found.setdefault(name, []).append({"id": prop, "value": value})
    return [
        {"matcher": _matcher(name), "properties": properties} for name, properties in found.items()
    ]


def _matcher(name: str) -> Json:
    if name.startswith("/"):
        return {"id": "byRegexp", "options": name}
    return {"id": "byName", "options": name}


def variable(name: str, label: str, query: str, *, is_multi: bool = True) -> Json:
    """A template variable whose values are the rows of a query of Postgres."""
    text = _one_line(query)
    chosen: Json = {"text": ["All"], "value": ["$__all"]} if is_multi else {}
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": POSTGRES,
        "query": text,
        "definition": text,
        "refresh": 2,
        "sort": 1,
        "multi": is_multi,
        "includeAll": is_multi,
        "current": chosen,
    }


def prom_variable(name: str, label: str, query: str) -> Json:
    """A template variable with the values of a label in Prometheus."""
    return variable(name, label, query) | {
        "datasource": PROMETHEUS,
        "query": {"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
    }


def source_variable(source: Json, label: str, asked: str) -> Json:
    """A template variable that names a data source; at first the one of an import.

    A file that Grafana reads without an import leaves `asked` as it is. It is no data source, and
    Grafana then takes the first of the type.
    """
    return {
        "type": "datasource",
        "name": source["uid"].strip("${}"),
        "label": label,
        "query": source["type"],
        "regex": "",
        "refresh": 1,
        "multi": False,
        "includeAll": False,
        "hide": 0,
        "options": [],
        "current": {"text": label, "value": f"${{{asked}}}"},
    }


def choice(name: str, label: str, values: Sequence[str]) -> Json:
    """A template variable with fixed values, the first chosen."""
    options = [{"text": v, "value": v, "selected": v == values[0]} for v in values]
    return {
        "type": "custom",
        "name": name,
        "label": label,
        "query": ",".join(values),
        "current": {"text": values[0], "value": values[0]},
        "options": options,
        "multi": False,
        "includeAll": False,
    }


SOURCES = (
    (PROMETHEUS, "Prometheus", "DS_HARMONY_PROMETHEUS"),
    (POSTGRES, "Postgres", "DS_HARMONY_POSTGRES"),
)
"""What dashboards read: the source, its name, and the name by which an import asks for it."""
_GRAFANA = "10.4.0"
"""The oldest version that has what is used here."""


def _input(source: Json, label: str, asked: str) -> Json:
    """What Grafana asks for when the file is imported."""
    return {
        "name": asked,
        "label": f"Harmony {label}",
        "description": "",
        "type": "datasource",
        "pluginId": source["type"],
        "pluginName": label,
    }


def _requires(panels: Sequence[Json]) -> list[Json]:
    """Plugins that the dashboard needs."""
    kinds = sorted({panel["type"] for panel in panels} - {"row"})
    return [
        {"type": "grafana", "id": "grafana", "name": "Grafana", "version": _GRAFANA},
        *({"type": "panel", "id": kind, "name": kind, "version": ""} for kind in kinds),
        *(
            {"type": "datasource", "id": source["type"], "name": label, "version": "1.0.0"}
            for source, label, _ in SOURCES
        ),
    ]


def annotation(name: str, colour: str, query: str) -> Json:
    """Marks on every time axis: rows with `time`, `text` and `tags`."""
    target = Sql(query, "table").to_target("Anno")
    return {
        "name": name,
        "datasource": POSTGRES,
        "enable": True,
        "iconColor": colour,
        "target": target,
    }


def flowed(parts: Sequence[Panel | Row]) -> list[Json]:
    """Panels from left to right, a new line where one does not fit."""
    found: list[Json] = []
    x = y = tallest = 0
    for number, part in enumerate(parts, start=1):
        is_row = isinstance(part, Row)
        if is_row or x + part.width > 24:
            x, y, tallest = 0, y + tallest, 0
        if is_row:
            place = {"x": 0, "y": y, "w": 24, "h": 1}
            heading = {"id": number, "type": "row", "title": part.title, "collapsed": False}
            found.append(heading | {"gridPos": place, "panels": []})
            y += 1
            continue
        found.append(part.to_json(number, x, y))
        x, tallest = x + part.width, max(tallest, part.height)
    return found


def dashboard(
    name: str,
    about: str,
    parts: Sequence[Panel | Row],
    variables: Sequence[Json],
    annotations: Sequence[Json],
) -> Json:
    """A whole dashboard; the others are linked by their tag."""
    panels = flowed(parts)
    return {
        "__inputs": [_input(*source) for source in SOURCES],
        "__elements": {},
        "__requires": _requires(panels),
        "uid": "harmony-" + name.lower().replace(" ", "-"),
        "title": f"Harmony / {name}",
        "description": about,
        "tags": ["harmony"],
        "timezone": "utc",
        "editable": False,
        "schemaVersion": 39,
        "version": 1,
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "links": [
            {
                "title": "Harmony",
                "type": "dashboards",
                "tags": ["harmony"],
                "asDropdown": True,
                "keepTime": True,
                "includeVars": True,
            }
        ],
        "templating": {"list": [*(source_variable(*source) for source in SOURCES), *variables]},
        "annotations": {"list": list(annotations)},
        "panels": panels,
    }
