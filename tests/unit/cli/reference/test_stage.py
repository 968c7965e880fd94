"""The site's source has every page in its table of contents, and what the pages link to."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.reference.stage import REPOSITORY, stage


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "source"
    stage(folder, {"docs/reference/cli.md": "# harmony\n", "extra/viewer.js": "0"})
    return folder


def test_pages_keep_their_places(source: Path) -> None:
    for name in ("ARCHITECTURE.md", "docs/operations.md", "docs/reference/cli.md", "conf.py"):
        assert (source / name).is_file(), name
    assert (source / "extra" / "viewer.js").read_text() == "0"


def test_the_contents_name_every_page(source: Path) -> None:
    front = (source / "index.md").read_text()
    assert front.startswith((REPOSITORY / "README.md").read_text().split("\n\n")[0])
    pages = [*source.glob("docs/*.md"), *source.glob("docs/*/*.md")]
    names = [str(page.relative_to(source).with_suffix("")) for page in pages]
    assert [name for name in names if f"\n{name}\n" not in front] == []


def test_files_that_pages_link_to_are_there(source: Path) -> None:
    assert (source / "deploy" / "examples" / "gpuautoscaler.yaml").is_file()
    assert (source / "LICENSE").is_file()


def test_a_link_to_the_records_leads_to_their_list(source: Path) -> None:
    assert "](docs/decisions/index.md)" in (source / "index.md").read_text()
    records = (source / "docs" / "decisions" / "index.md").read_text()
    assert "* [0012. " in records


def test_it_is_written_anew(source: Path) -> None:
    (source / "docs" / "gone.md").write_text("# Gone\n")
    stage(source, {"docs/reference/cli.md": "# harmony\n", "extra/viewer.js": "0"})
    assert not (source / "docs" / "gone.md").exists()
