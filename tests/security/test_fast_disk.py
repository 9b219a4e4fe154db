"""`start.sh --fast-disk`: made once, used from then on, and undone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.host.file_clones import way_on
from gateway.host.loop_device import unmount
from tests.support.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]
_PARTS = "for part in say apt fast_disk; do . scripts/lib/$part.sh; done"

Run = Callable[[str], tuple[int, str]]


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    unmount(str(tmp_path / "fast-disk"))


@pytest.fixture
def run(data: Path) -> Run:
    """A function of scripts/lib/fast_disk.sh: its status and what it says."""

    def act(line: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"SCRIPT_NAME=start; {_PARTS}; {line}"],
            cwd=ROOT,
            env=os.environ | {"SANDBOX_DATA_DIR": str(data)},
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return done.returncode, done.stdout

    return act


def test_it_is_made_once_used_from_then_on_and_undone(data: Path, run: Run) -> None:
    """Its whole size is taken at once, and blocks are shared on it. A start after a restart of the
    host mounts it again; what the operator has set wins."""
    assert run("fast_disk_use") == (0, "")
    assert list(data.iterdir()) == []

    status, told = run('fast_disk_use 1G; echo "dir $SANDBOX_DISK_DIR"')

    assert status == 0
    assert f"dir {data}/fast-disk/disks" in told
    assert way_on(data / "fast-disk") == "reflink"
    assert (data / "fast-disk.xfs").stat().st_blocks * 512 >= 1 << 30
    (data / "fast-disk/kept").touch()
    unmount(str(data / "fast-disk"))
    assert run('fast_disk_use; echo "$SANDBOX_DISK_DIR"') == (0, f"{data}/fast-disk/disks\n")
    assert run('SANDBOX_DISK_DIR=/x; fast_disk_use 1G; echo "$SANDBOX_DISK_DIR"') == (0, "/x\n")
    assert (data / "fast-disk/kept").exists()
    assert run("fast_disk_use 2G")[0] == 1

    with (data / "fast-disk/kept").open():
        status, told = run("fast_disk_remove")
        assert (status, "--stop-all" in told) == (1, True)
    assert run("fast_disk_remove")[0] == 0
    assert run("fast_disk_remove")[0] == 0
    assert list(data.iterdir()) == []
    eventually(lambda: str(data) not in Path("/proc/self/mountinfo").read_text())


@pytest.mark.parametrize("size", ["", "0G", "5", "5M", "-1G", "1G;x", "../1G", "1234567G"])
def test_what_is_no_size_is_refused(data: Path, size: str) -> None:
    """Before anything else is done."""
    done = subprocess.run(
        ["./start.sh", "--fast-disk", size],
        cwd=ROOT,
        env=os.environ | {"SANDBOX_DATA_DIR": str(data)},
        check=False,
        text=True,
        capture_output=True,
    )

    assert (done.returncode, "50G" in done.stderr) == (2, True)
    assert list(data.iterdir()) == []


def test_a_host_without_room_is_left_as_it_was(data: Path, run: Run) -> None:
    status, told = run("fast_disk_use 900T")

    assert (status, "no room" in told) == (1, True)
    assert list(data.iterdir()) == []
