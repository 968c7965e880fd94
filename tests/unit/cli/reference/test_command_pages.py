"""The page of commands has every command, with the options that it has."""

from __future__ import annotations

from services.cli import application
from services.cli.reference.command_pages import command_page


def test_every_command_has_its_help() -> None:
    page = command_page("harmony", "harmony", application.app)
    assert page.startswith("# harmony\n")
    for command in ("harmony demo", "harmony bench fleet", "harmony keys create"):
        assert f"\n## {command}\n" in page
    fleet = page.split("## harmony bench fleet\n")[1].split("\n## ")[0]
    assert "Usage: harmony bench fleet [OPTIONS]" in fleet
    assert "--history-days" in fleet
    assert "-h, --help" in fleet  # as it is on the command line
