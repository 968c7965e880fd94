"""The preset of dcgm-exporter on a page of the program."""

from __future__ import annotations

from services.kernel.domain.presets import PRESETS, fit_preset, read_page
from tests.unit.kernel.domain.presets.scraped import PAGES, are_all_on, there

PROFILING = {"sm_active_ratio", "tensor_active_ratio"}


def test_every_metric_is_on_a_page_of_the_program() -> None:
    are_all_on("dcgm", "dcgm")


def test_without_profiling_the_rest_is_there_and_the_reason_is_said() -> None:
    lines = (PAGES / "dcgm.txt").read_text().splitlines()
    page = read_page("\n".join(line for line in lines if "_PROF_" not in line))
    found = fit_preset(PRESETS["dcgm"], page, {})
    assert found.is_fit
    assert there(found) == {finding.name for finding in found.indicators} - PROFILING
    said = [finding.meaning for finding in found.indicators if finding.name in PROFILING]
    assert all("counters file" in meaning for meaning in said)
