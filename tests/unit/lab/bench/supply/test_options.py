"""Options that nobody can run with are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.kernel.errors import InvalidInput
from services.lab.bench.supply.options import POLICIES, SupplyOptions


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"startups_s": (1.0,)}, r"--startup=1: must be between 10 and 3600"),
        ({"spot_per_day": -1.0}, r"--spot=-1: must be between 0 and 1000"),
        ({"failure_share": 1.0}, r"--failures=1: must be between 0 and 0.9"),
        ({"days": 0.0}, r"--days=0: must be between 0.0417 and 7"),
        ({"days": float("nan")}, r"--days=nan: must be between"),
        ({"policies": ("hpa", "luck")}, r"--policies=luck: must be of hpa, hpa_headroom"),
        ({"policies": ()}, r"at least one of each is needed"),
        ({"data_dir": Path("/nowhere/at/all")}, r"--data-dir=/nowhere/at/all: must be a folder"),
    ],
)
def test_what_nobody_can_run_is_refused(wrong: dict, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        SupplyOptions(**wrong)


def test_a_quick_run_is_short_whatever_was_asked_for() -> None:
    assert SupplyOptions().policies == POLICIES
    assert SupplyOptions().counted_s == 86_400.0
    quick = SupplyOptions(is_quick=True)
    assert quick.counted_s + quick.warm_up_s <= 2 * 3600.0
    assert quick.n_services < SupplyOptions().n_services
    assert SupplyOptions(days=1 / 24, is_quick=True).counted_s == 3600.0
