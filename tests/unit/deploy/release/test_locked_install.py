"""pip takes a file by the lock's hashes, and refuses it when one of them is altered."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.release import lock
from deploy.release.artifacts import REPOSITORY

pytestmark = pytest.mark.slow
SMALL = "iniconfig"


def _download(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    wanted = folder / "wanted.lock"
    wanted.write_text(text)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-cache-dir", "--no-deps"]
    command += ["--require-hashes", "--dest", str(folder), "-r", str(wanted)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def locked() -> str:
    host = urlsplit(lock.index_url()).hostname
    assert host is not None
    try:
        socket.create_connection((host, 443), timeout=10).close()
    except OSError as error:
        pytest.skip(f"pip's index cannot be reached: {error}")
    text = (REPOSITORY / lock.LOCK).read_text()
    found = re.search(rf"^{SMALL}==.*?(?=^[a-z])", text, re.S | re.M)
    assert found is not None
    return found[0]


def test_the_very_file_is_taken_and_no_other(locked: str, tmp_path: Path) -> None:
    done = _download(locked, tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob(f"{SMALL}-*"))
    altered = re.sub(
        r"sha256:([0-9a-f])", lambda found: f"sha256:{15 - int(found[1], 16):x}", locked
    )
    refused = _download(altered, tmp_path)
    assert refused.returncode != 0
    assert "HASHES" in refused.stderr.upper()
