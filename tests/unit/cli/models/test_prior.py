"""The card of the prior on the command line, and the options of its training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.application import app
from services.cli.models import pretraining
from services.cli.models.pretraining import SEED, Pretraining
from services.forecasting.registry.shipped import CARD_FILE, shipped_bytes, shipped_prior

CARD = json.loads(shipped_bytes(CARD_FILE))


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["models", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("name", ["prior", f"prior-{shipped_prior().version}"])
def test_the_card_is_shown_by_the_name_that_forecasts_carry(name: str) -> None:
    assert json.loads(invoke("show", name, "--json")) == CARD
    shown = invoke("show", name)
    assert CARD["version"] in shown
    assert "helios_earth_vc" in shown


def test_options_reach_the_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[Any, ...]] = []

    def train(one: Pretraining, device: str, *, is_resumed: bool) -> dict[str, Any]:
        asked.append((one, device, is_resumed))
        return CARD

    monkeypatch.setattr(pretraining, "train_prior", train)
    folder = str(tmp_path)
    assert CARD["version"] in invoke("pretrain", "--traces", folder, "--out", folder)
    options = ("--epochs", "3", "--seed", "0", "--device", "cpu", "--resume", "--json")
    assert json.loads(invoke("pretrain", "--traces", folder, *options)) == CARD
    whole = Pretraining(tmp_path, tmp_path)
    assert whole.seed == SEED
    assert asked == [
        (whole, "auto", False),
        (Pretraining(Path(), tmp_path, epochs=3, seed=0), "cpu", True),
    ]
