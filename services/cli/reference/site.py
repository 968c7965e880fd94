"""Write the source of the documentation site."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import services.admin
from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.cli import application
from services.cli.kubectl import application as kubectl
from services.cli.reference.command_pages import command_page
from services.cli.reference.object_page import object_page
from services.cli.reference.rest_page import VIEWER, rest_page, rest_viewer
from services.cli.reference.stage import REPOSITORY, stage
from services.kernel.settings import Settings

_STATIC = Path(services.admin.__file__).parent / "static" / "vendor"


def write_source(folder: Path) -> None:
    """Write the site's source to `folder`, which is written anew."""
    document = make_document()
    pages = {
        "cli.md": command_page("harmony", "harmony", application.app),
        "kubectl.md": command_page("kubectl harmony", "kubectl harmony", kubectl.app),
        "objects.md": object_page(REPOSITORY / "helm" / "harmony" / "crds"),
        "rest.md": rest_page(document),
    }
    viewer = {
        "rest-viewer.html": rest_viewer(document),
        VIEWER: (_STATIC / VIEWER).read_text(),
    }
    staged = {f"docs/reference/{name}": text for name, text in pages.items()}
    stage(folder, staged | {f"extra/docs/reference/{name}": text for name, text in viewer.items()})


def make_document() -> dict[str, Any]:
    """The OpenAPI document of the admin service, of which no route is ever called here."""
    nothing = cast(Any, None)
    deps = AdminDeps(
        engine=nothing,
        redis=nothing,
        settings=Settings(),
        clock=nothing,
        wall=nothing,
        verifier=nothing,
        sessions=nothing,
        sender=nothing,
    )
    return make_app(deps).openapi()


def main(arguments: Sequence[str]) -> int:
    """The program: its one argument is the folder; its exit status."""
    if len(arguments) != 1:
        print("usage: python -m services.cli.reference FOLDER", file=sys.stderr)
        return 2
    write_source(Path(arguments[0]))
    return 0
