"""A data folder for servers that a test starts itself."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.platform.embedded_servers import default_home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder that the server's user can reach, also when the tests run as root."""
    folder = tmp_path if os.geteuid() != 0 else default_home() / f"test-{uuid.uuid4().hex[:8]}"
    yield folder
    if folder != tmp_path:
        shutil.rmtree(folder, ignore_errors=True)
