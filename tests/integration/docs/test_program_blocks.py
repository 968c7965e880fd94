"""Commands of the documents that are cheap are run, on a database that has what they name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from services.cli import preset_commands
from services.cli.application import app
from services.cli.kubectl import application as kubectl
from services.kernel.clock import FixedClock
from services.kernel.settings import Settings, get_settings
from tests.integration.admin.seeded_fleet import NOW, Seeded
from tests.integration.admin.seeded_rows import STEP_S
from tests.integration.cli.conftest import configure, serve
from tests.unit.docs import shell
from tests.unit.docs.blocks import Block, in_language
from tests.unit.docs.shell import Call
from tests.unit.kernel.domain.presets.scraped import page

pytestmark = pytest.mark.integration

NAMES = ("llama", "chat", "embed")
"""What the documents call their services; the seeded ones are given these names in turn."""
STAND_INS = {"llama-mixed": "llama", "llama-split": "llama"}
"""Services of several targets, which none of the seeded ones is, and who answers for them."""


def ours(call: Call) -> tuple[str, ...] | None:
    """Arguments of `harmony`, called here or in a pod."""
    if call.program == "harmony":
        return call.arguments
    _, _, inner = " ".join(call.arguments).partition(" -- harmony ")
    return call.arguments[call.arguments.index("--") + 2 :] if inner else None


def plugin(call: Call) -> tuple[str, ...] | None:
    """Arguments of `kubectl harmony`."""
    is_plugin = call.program == "kubectl" and call.arguments[:1] == ("harmony",)
    if not is_plugin:
        return None
    return tuple(STAND_INS.get(argument, argument) for argument in call.arguments[1:])


BLOCKS = [b for b in in_language("sh") if not b.how and "harmony " in b.text]


@pytest.fixture
def named(
    seeded: Seeded, database: Engine, database_url: str, redis_url: str, settings: Settings,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> Iterator[Engine]:  # fmt: skip
    """A platform whose services have the names of the documents, and who may ask it."""
    rename = text("UPDATE workloads SET namespace = 'serving', name = :name WHERE id = :id")
    earlier = text(
        "INSERT INTO models (version, kind, status, reason, config, metrics, created_at, "
        "promoted_at, retired_at, artifact) SELECT 'flow-2', kind, 'retired', reason, config, "
        "metrics, created_at - interval '1 day', promoted_at - interval '1 day', promoted_at, "
        "'\\x00' FROM models"
    )
    with database.begin() as connection:
        ids = connection.execute(text("SELECT id FROM workloads ORDER BY id")).scalars().all()
        for name, workload in zip(NAMES, ids, strict=True):
            connection.execute(rename, {"name": name, "id": workload})
        connection.execute(earlier)
    monkeypatch.setenv("HARMONY_DATABASE_URL", database_url)
    monkeypatch.setattr(preset_commands, "fetch_page", lambda *_: page("vllm"))
    get_settings.cache_clear()
    clock = FixedClock(NOW)
    with serve(database, redis_url, settings.model_copy(update={"step_s": STEP_S}), clock) as url:
        configure(monkeypatch, database, url, tmp_path, clock)
        yield database
    get_settings.cache_clear()


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_its_commands_succeed(
    named: Engine, block: Block, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shell"
    folder.mkdir()
    for call in shell.run(block.text, folder):
        if (arguments := ours(call)) is not None:
            done = CliRunner().invoke(app, arguments)
            assert done.exit_code == 0, f"{call}: {done.output}{done.exception!r}"
        elif (arguments := plugin(call)) is not None:
            status = kubectl.main(arguments, FixedClock(NOW))
            assert status in (0, 1), f"{call}: {capfd.readouterr()}"
