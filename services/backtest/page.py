"""A backtest as one HTML page without scripts, fonts or anything else from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from services.backtest.plot import svg_of_study
from services.backtest.study import PromiseResult, Study
from services.kernel.domain.figures import percentage
from services.kernel.whole_files import write_whole
from services.simulator import PolicyScore

HOURS_PER_MONTH = 730.0


def write_page(study: Study, said: Sequence[str], path: Path) -> None:
    """Write the page.

    Args:
        study: What was found.
        said: How the data were read.
        path: File.

    Raises:
        InvalidInput: It cannot be written.
    """
    write_whole(path, render_page(study, said))


def page_templates(package: str) -> Environment:
    """Templates of a package's pages and of this one's; what is put into them is escaped."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(each, ".") for each in (package, "services.backtest")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_page(study: Study, said: Sequence[str]) -> str:
    """The page's text."""
    return (
        page_templates("services.backtest")
        .get_template("page.html")
        .render(
            label=study.fleet.label,
            hours=f"{study.fleet.replay_hours:g}",
            n_workloads=study.fleet.n_workloads,
            step_s=study.fleet.step_s,
            forecaster=study.trained.reason,
            promises=[
                {
                    "promise": percentage(result.epsilon),
                    "as_deployed": result.verdict(),
                    "matched": matched.sentence(),
                    "rows": _rows(study, result),
                }
                for result, matched in zip(study.results, study.matched, strict=True)
            ],
            frontier=Markup(svg_of_study(study)),  # noqa: S704  # drawn here; text in it is escaped
            advice=study.advice(),
            notes=[*said, *study.fleet.notes],
        )
    )


def _rows(study: Study, result: PromiseResult) -> list[dict[str, Any]]:
    per_month = HOURS_PER_MONTH / study.fleet.replay_hours
    return [_row(one, result.epsilon, per_month) for one in result.scores]


def _row(one: PolicyScore, epsilon: float, per_month: float) -> dict[str, Any]:
    return {
        "policy": one.name,
        "is_ours": one.name == "harmony",
        "out": percentage(one.violation_rate),
        "is_kept": one.violation_rate <= epsilon,
        "unserved": one.unserved_words,
        "gpu_hours": f"{one.gpu_hours:,.0f}",
        "cost": f"{one.cost_usd:,.0f}",
        "month": f"{one.cost_usd * per_month:,.0f}",
        "changes": f"{one.scale_ops:,}",
        "setting": one.setting,
    }
