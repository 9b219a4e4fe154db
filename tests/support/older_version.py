"""The gateway as it was when its agents spoke protocol 1, from the repository's history."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.support.gateway_process import ROOT, GatewayProcess

COMMIT = "764f4a26cc52fa0543a42b94e5ad69d6139efafe"
"""The last one before protocol 2."""

_COMMAND = [
    *(sys.executable, "-m", "gunicorn"),
    *("--config", "python:gateway.gunicorn_config", "wsgi:app"),
]
"""Of that commit, whatever is started by today's."""


def older_version(directory: Path) -> Path:
    """Its source tree, written into `directory`. The commit has to be in the clone: a shallow one
    does not do."""
    archived = subprocess.run(
        ["git", "-C", str(ROOT), "archive", "--format=tar", COMMIT],
        check=True,
        capture_output=True,
    )
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as archive:
        archive.extractall(directory, filter="data")
    return directory


def start_older(gateway: GatewayProcess, tree: Path) -> None:
    """Start the older version; today's is what the next start is of again."""
    today = gateway.tree, gateway.command
    gateway.tree, gateway.command = tree, _COMMAND
    try:
        gateway.start_ready()
    finally:
        gateway.tree, gateway.command = today
