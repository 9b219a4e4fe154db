"""What `scripts/lib/sweep.py` removes of aborted test runs, and what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.lib import snapshot_remains

LIB = Path(__file__).resolve().parents[2] / "scripts" / "lib"


@pytest.fixture
def dead_pid() -> int:
    """Of a process that has ended."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


def test_snapshots_of_dead_test_gateways_are_removed(
    tmp_path: Path, dead_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those of living ones, of other gateways, or of which nobody says whose they are."""
    monkeypatch.syspath_prepend(str(LIB))
    import sweep

    place = tmp_path / "sandbox-gateway" / "snapshots"
    place.mkdir(parents=True)
    for name, instance in {
        "dead": f"test-{dead_pid}-0123abcd",
        "living": f"test-{os.getpid()}-0123abcd",
        "real": "0123456789abcdef",
        "odd": f"test-{dead_pid}",
        "unknown": None,
    }.items():
        (place / f"{name}.ext4").touch()
        if instance is not None:
            os.setxattr(place / f"{name}.ext4", "user.sandbox-gateway.instance", instance.encode())
    (place / "no-snapshot").touch()

    assert snapshot_remains.remove_files(str(tmp_path), sweep.abandoned) == 1
    assert snapshot_remains.remove_files(str(tmp_path / "nowhere"), sweep.abandoned) == 0

    left = {file.stem for file in place.iterdir()}
    assert left == {"living", "real", "odd", "unknown", "no-snapshot"}
    sys.modules.pop("sweep")
