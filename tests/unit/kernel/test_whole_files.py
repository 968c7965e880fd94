"""Files that are there with all of their text, or stay as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.kernel.errors import InvalidInput
from services.kernel.whole_files import write_whole
from tests.unit.kernel.full_disk import full_disk


@pytest.mark.parametrize("content", ["x" * 10_000, b"x" * 10_000])
def test_a_file_that_cannot_be_written_to_its_end_stays_as_it_was(
    tmp_path: Path, content: str | bytes
) -> None:
    """As on a full disk: the anchor of the audit log, above all, must not be lost."""
    file = tmp_path / "anchor"
    write_whole(file, "42:abc\n")
    with full_disk(), pytest.raises(InvalidInput, match=r"anchor: cannot be written: .* too large"):
        write_whole(file, content)
    assert file.read_text() == "42:abc\n"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=r"page\.html: cannot be written: .*; name a file"):
        write_whole(tmp_path / "file" / "new" / "page.html", "text")


def test_what_a_link_leads_to_is_replaced_with_its_rights(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    write_whole(link, "new")
    assert link.is_symlink()
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o640)


def test_a_pipe_is_written_to_and_stays_one() -> None:
    write_whole(Path("/dev/null"), "text")
    assert not Path("/dev/null").is_file()
