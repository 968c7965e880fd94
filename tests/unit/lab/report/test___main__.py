"""The scoreboard command: output and exit codes."""

from __future__ import annotations

import pytest

from services.lab.report import __main__ as command


def run(monkeypatch, *args):
    monkeypatch.setattr("sys.argv", ["report", *args])
    return command.main()


def test_a_bad_file_is_one_line_and_exit_2(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, "--data", str(tmp_path / "no.parquet")) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "no file at" in captured.err


def test_a_wrong_risk_is_exit_2(monkeypatch, capsys):
    assert run(monkeypatch, "--risk", "1.5") == 2
    assert "epsilon=1.5" in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_is_written(monkeypatch, capsys, tmp_path):
    page = tmp_path / "page.html"
    args = ["--step", "600", "--hours", "6", "--html", str(page)]
    assert run(monkeypatch, *args) == 0
    assert "Oracle" in capsys.readouterr().out
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.slow
def test_a_page_that_cannot_be_written_is_one_line_and_exit_2(monkeypatch, capsys, tmp_path):
    (tmp_path / "file").touch()
    page = tmp_path / "file" / "page.html"
    assert run(monkeypatch, "--step", "600", "--hours", "6", "--html", str(page)) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: --html={page}: cannot be written: ")
    assert captured.err.count("\n") == 1
