"""What the `presets` commands say to people: YAML to paste, and tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import yaml

from services.cli.output import console, print_table
from services.cli.preset_rows import goal_rows, indicator_row, loss_rows
from services.kernel.domain import IndicatorSpec
from services.kernel.domain.presets import (
    Bracket,
    Preset,
    PresetFinding,
    PresetFit,
)
from services.kernel.domain.workload import LoadCounts

_WIDTH = 4096
_COUNTED = {
    "arrivals": "requests as they arrive",
    "finished": "requests that finished: under overload, what was served, not what was asked for",
    "nothing": "–",
}
_LOADS: dict[LoadCounts, str] = {
    "arrives": "loads as they arrive, for demand and capacity.alsoBoundBy",
    "served": "loads as they were served, which is less under overload",
}
_WORDS = (
    ("request", "requests"),
    ("input", "input"),
    ("uncached", "uncached"),
    ("output", "output"),
    ("kv", "kv"),
)


def print_summaries(presets: Sequence[Preset]) -> None:
    """The table of `presets list`."""
    rows = [
        {
            "name": preset.name,
            "program": preset.program,
            "measured at": preset.place,
            "counts": preset.counts,
            "arriving loads": " ".join(_load_words(preset)) or "–",
            "promises on": " ".join(goal.goal for goal in preset.goals) or "–",
            "indicators": len(preset.indicators),
        }
        for preset in presets
    ]
    print_table("Presets", rows)


def as_yaml(preset: Preset, indicators: Sequence[IndicatorSpec]) -> str:
    """Indicators as `spec.indicators` takes them; all else that is known stands in comments."""
    needs = {indicator.name: indicator.needs for indicator in preset.indicators}
    lines = [
        f"# {preset.program}, measured at the {preset.place}",
        *(f"# read from {source}" for source in preset.sources),
    ]
    if preset.demands:
        lines.append(f"# may be the demand: {', '.join(preset.demands)}")
        lines.append(f"# request_rate_rps counts {_COUNTED[preset.counts]}")
    lines += [f"# {line}" for line in load_lines(preset, preset.loads)]
    lines += [_goal_line(goal) for goal in goal_rows(preset)]
    lines += [f"# {_loss_line(loss)}" for loss in loss_rows(preset)]
    for indicator in indicators:
        if needs[indicator.name]:
            lines.append(f"# {indicator.name} needs {needs[indicator.name]}")
    written = [indicator_row(indicator) for indicator in indicators]
    text = yaml.safe_dump(written, sort_keys=False, width=_WIDTH, allow_unicode=True)
    return "\n".join(lines) + "\n" + text


def print_fit(fit: PresetFit) -> None:
    """A preset on a page: what is there, what is missing, and the edges of each latency."""
    word = "fits" if fit.is_fit else "does not fit"
    console.print(
        f"{fit.preset.name} ({fit.preset.program}) {word}: "
        f"{fit.n_found} of {len(fit.indicators)} indicators"
    )
    rows = [
        _shown(kind, finding)
        for kind, findings in (
            ("indicator", fit.indicators),
            ("goal", fit.goals),
            ("loss", fit.losses),
        )
        for finding in findings
    ]
    print_table("Metrics", rows)
    for line in load_lines(fit.preset, _found_loads(fit)):
        _print_plain(line)
    for finding in fit.goals:
        if finding.edges_s:
            _print_plain(
                f"{finding.name} edges in s: {' '.join(f'{e:g}' for e in finding.edges_s)}"
            )
            if finding.bracket is not None:
                _print_plain(f"{finding.name} {bracket_words(finding.bracket)}")


def load_lines(preset: Preset, names: Collection[str]) -> list[str]:
    """Which loads are there as they arrive, and which as they were served."""
    found = []
    for counts, words in _LOADS.items():
        listed = [name for name, what in preset.loads.items() if what == counts and name in names]
        if listed:
            found.append(f"{words}: {', '.join(listed)}")
    return found


def bracket_words(found: Bracket) -> str:
    """What a threshold's place among the edges means for a share of requests."""
    at = f"{found.threshold_s:g} s"
    if found.is_exact:
        return f"{at} is an edge: the share of requests within it is exact"
    if found.above_s is None:
        return (
            f"{at} is beyond the last edge, {found.below_s:g} s: the share within it is at least "
            f"that within {found.below_s:g} s, and no more is known"
        )
    return (
        f"{at} lies between the edges {found.below_s:g} s and {found.above_s:g} s: the share "
        "within it is an interval; take one of the two to know it"
    )


def _found_loads(fit: PresetFit) -> list[str]:
    return [one.name for one in fit.indicators if one.presence != "missing"]


def _load_words(preset: Preset) -> list[str]:
    """What of a service arrives by this preset, a word for each."""
    arriving = [name for name, counts in preset.loads.items() if counts == "arrives"]
    return [word for part, word in _WORDS if any(_is_of(part, name) for name in arriving)]


def _is_of(part: str, name: str) -> bool:
    return name.removeprefix("offered_").startswith(part)


def _print_plain(text: str) -> None:
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def _goal_line(goal: dict[str, Any]) -> str:
    edges = " ".join(f"{edge:g}" for edge in goal["edges_s"])
    extras = [f"needs {goal['needs']}"] * bool(goal["needs"]) + [goal["note"]] * bool(goal["note"])
    told = f" ({'; '.join(extras)})" if extras else ""
    return f"# {goal['goal']}, {goal['what']}: {goal['metrics'][0]}{told}, edges in s: {edges}"


def _loss_line(loss: dict[str, Any]) -> str:
    labels = f"{{{loss['labels']}}}" if loss["labels"] else ""
    return f"{loss['what']}: {loss['metrics'][0]}{labels}"


def _shown(kind: str, finding: PresetFinding) -> dict[str, Any]:
    return {
        "what": f"{kind} {finding.name}",
        "on the page": finding.presence,
        "metric": " ".join(finding.missing or finding.metrics),
        "meaning": finding.meaning or "–",
    }
