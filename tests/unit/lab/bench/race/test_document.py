"""Means over races by lead time."""

from __future__ import annotations

from services.lab.bench.race.document import verdict_rows


def made(lead_s, ratio, closed, best=2.0):
    arm = {"ratio": ratio, "closed": closed, "ratio_at_unserved": ratio}
    best_rival = {"name": "hpa", "cost": best}
    promise = {"own": {"harmony": arm} if ratio else {}, "best_rival": best_rival}
    return {"lead_s": lead_s, "promises": {"0.01": promise}}


def test_ratios_are_geometric_means_and_the_worst_stands_beside_them():
    races = [made(30.0, 0.5, 1.0), made(30.0, 2.0, -2.0), made(600.0, 0.9, 0.2)]
    first, second = verdict_rows(races, "0.01")
    assert (first["races"], first["harmony / best rival"], first["worst"]) == (2, "1.000", "2.000")
    assert first["of the room"] == "-50 %"
    assert (second["lead time"], second["best rival over the oracle"]) == ("10 min", "2.000")


def test_without_forecasts_only_the_room_is_told():
    (row,) = verdict_rows([made(30.0, None, None, best=1.5)], "0.01")
    assert row["best rival over the oracle"] == "1.500"
    assert row["harmony / best rival"] == row["worst"] == ""
