"""The source folder of the documentation site: the repository's pages and the generated ones.

Pages keep their places, so a link that works in the repository works on the site.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
_PAGES = ("ARCHITECTURE.md", "CHANGELOG.md")
_LINK = re.compile(r"\]\(([^)#:\s]+)[^)]*\)")
_REFERENCE = ("cli", "kubectl", "objects", "rest")


def stage(target: Path, reference: dict[str, str]) -> None:
    """Write the folder anew.

    Args:
        target: The folder; what is in it is deleted.
        reference: Generated pages and files, by their path in the folder. What is in `extra` goes
            to the site as it is.
    """
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(REPOSITORY / "docs", target / "docs")
    shutil.move(target / "docs" / "conf.py", target / "conf.py")
    for name in _PAGES:
        shutil.copy(REPOSITORY / name, target / name)
    for name, text in reference.items():
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    front = (REPOSITORY / "README.md").read_text()
    (target / "index.md").write_text(front + _contents(REPOSITORY / "docs" / "index.md"))
    (target / "docs" / "decisions" / "index.md").write_text(_records())
    for page in sorted(target.rglob("*.md")):
        _mend_links(page, target)


def _mend_links(page: Path, target: Path) -> None:
    """Let links to the records lead to their list, and copy linked files that are no pages."""
    text = re.sub(r"(\]\((?:[\w.-]+/)*decisions/)\)", r"\1index.md)", page.read_text())
    page.write_text(text)
    for link in _LINK.findall(text):
        place = (page.parent / link).resolve()
        if not place.exists() and place.is_relative_to(target.resolve()):
            source = REPOSITORY / place.relative_to(target.resolve())
            if source.is_file():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, place)


def _records() -> str:
    """The list of decision records."""
    folder = REPOSITORY / "docs" / "decisions"
    titles = {path.name: path.read_text().splitlines()[0][2:] for path in folder.glob("*.md")}
    return "# Decisions\n\n" + "".join(f"* [{titles[name]}]({name})\n" for name in sorted(titles))


def _contents(index: Path) -> str:
    """The table of contents, which the theme shows beside every page."""
    parts = [_tree("Start", ["docs/index"])]
    for heading, body in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", index.read_text(), re.S | re.M):
        pages = list(_pages(body))
        if pages:
            parts.append(_tree(heading, pages))
    parts.append(_tree("Reference", [f"docs/reference/{name}" for name in _REFERENCE]))
    found = sorted((index.parent / "decisions").glob("*.md"))
    records = [f"docs/decisions/{path.stem}" for path in found]
    parts.append(_tree("Decisions", ["docs/decisions/index", *records]))
    return "\n" + "\n".join(parts)


def _pages(body: str) -> Iterator[str]:
    for link in re.findall(r"\]\(([\w./-]+)\.md\)", body):
        yield link.removeprefix("../") if link.startswith("../") else f"docs/{link}"


def _tree(caption: str, pages: list[str]) -> str:
    lines = "\n".join(pages)
    return f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"
