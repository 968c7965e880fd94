"""Means over races by lead time."""

from __future__ import annotations

from services.lab.bench.race.document import verdict_rows


def made(lead_s, ratio, closed, best=2.0, *, rivals_only=False):
    arm = {"ratio": ratio, "closed": closed, "ratio_at_unserved": ratio}
    best_rival = None if best is None else {"name": "hpa", "cost": best}
    promise = {"own": {} if rivals_only else {"harmony": arm}, "best_rival": best_rival}
    return {"lead_s": lead_s, "promises": {"0.01": promise}}


def test_ratios_are_geometric_means_and_the_worst_stands_beside_them():
    races = [made(30.0, 0.5, 1.0), made(30.0, 2.0, -2.0), made(600.0, 0.9, 0.2)]
    first, second = verdict_rows(races, "0.01")
    assert (first["races"], first["harmony / best rival"], first["worst"]) == (2, "1.000", "2.000")
    assert first["of the room"] == "-50 %"
    assert (second["lead time"], second["best rival over the oracle"]) == ("10 min", "2.000")


def test_without_forecasts_only_the_room_is_told():
    (row,) = verdict_rows([made(30.0, None, None, best=1.5, rivals_only=True)], "0.01")
    assert row["best rival over the oracle"] == "1.500"
    assert row["harmony / best rival"] == row["worst"] == row["reached"] == ""


def test_a_race_that_harmony_loses_by_not_reaching_the_rate_has_no_bound():
    """It was left out of the ratio and the worst, and counted among the races and for the rival."""
    won, lost = made(30.0, 0.9, 0.2, best=1.5), made(30.0, None, None, best=4.0)
    (row,) = verdict_rows([won, lost, lost], "0.01")
    assert (row["races"], row["reached"], row["worst"]) == (3, "1 of 3", "not reached")
    assert row["harmony / best rival"] == "0.900"
    assert row["best rival over the oracle"] == "1.500", "of the races that the ratio is of"
    (row,) = verdict_rows([lost], "0.01")
    assert (row["reached"], row["worst"]) == ("0 of 1", "not reached")
    assert row["harmony / best rival"] == row["best rival over the oracle"] == ""


def test_a_race_whose_rate_no_rival_reaches_is_none_that_is_lost():
    races = [made(30.0, 0.9, 0.2), made(30.0, None, None, best=None)]
    (row,) = verdict_rows(races, "0.01")
    assert (row["races"], row["reached"], row["worst"]) == (2, "1 of 1", "0.900")
