"""The report of a replay: a self-contained HTML page, a terminal table, a JSON summary."""

from services.lab.report.data import FanChart, Felt, PoolFigures, ReportData, measured_line
from services.lab.report.evidence import Reliability, RivalFrontier, StartTimes
from services.lab.report.promise import headline
from services.lab.report.render import render_report
from services.lab.report.summary import pools_json, services_json, summary_json
from services.lab.report.terminal import scoreboard_table

__all__ = [
    "FanChart",
    "Felt",
    "PoolFigures",
    "Reliability",
    "ReportData",
    "RivalFrontier",
    "StartTimes",
    "headline",
    "measured_line",
    "pools_json",
    "render_report",
    "scoreboard_table",
    "services_json",
    "summary_json",
]
