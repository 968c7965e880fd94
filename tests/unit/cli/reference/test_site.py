"""The program that writes the site's source: all of it, or a line that says how to call it."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.reference.site import main


def test_every_reference_is_written(tmp_path: Path) -> None:
    assert main([str(tmp_path / "source")]) == 0
    written = tmp_path / "source"
    for name in ("cli", "kubectl", "objects", "rest"):
        assert (written / "docs" / "reference" / f"{name}.md").stat().st_size > 1000, name
    viewer = (written / "extra" / "docs" / "reference" / "rest-viewer.html").read_text()
    assert "/v1/workloads" in viewer
    assert len(list((written / "extra" / "docs" / "reference").glob("redoc-*.js"))) == 1


def test_how_to_call_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err == "usage: python -m services.cli.reference FOLDER\n"
