"""What is not known of a workload has no value, and no value is made up for it."""

from __future__ import annotations

from dataclasses import asdict

from services.operator.report.facts import Details


def test_nothing_is_known_at_first() -> None:
    known = {name: value for name, value in asdict(Details()).items() if value is not None}
    assert known == {
        "errors": (),
        "history": {"coverage": None, "lead_p50_s": None, "lead_p90_s": None, "n_starts": 0},
        "sli_message": "",
        "unreachable_message": "",
    }
