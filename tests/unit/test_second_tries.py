"""What passes on its second try is recorded and named, and too many of such fail the run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

Run = Callable[..., "subprocess.CompletedProcess[str]"]

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
set -euo pipefail
SCRIPT_NAME=test
. "$ROOT/scripts/lib/say.sh"
. "$ROOT/scripts/lib/tried_twice.sh"
tried_twice 1 "$@"
"""

TESTS = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range({flaky}))
def test_flaky(number):
    mark = Path(__file__).with_name(f"mark-{{number}}")
    seen = mark.exists()
    mark.touch()
    assert seen

@pytest.fixture
def left_broken():
    yield
    raise AssertionError("in the tear-down")

@pytest.mark.parametrize("number", range({broken}))
def test_broken(number, left_broken):
    pass

def test_sound():
    pass
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `tried_twice` over tests of which so many fail once, and so many always."""
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests_here\n")
    (tmp_path / "tests_here").mkdir()

    def run(*arguments: str, flaky: int, broken: int = 0) -> subprocess.CompletedProcess[str]:
        tests = TESTS.format(flaky=flaky, broken=broken)
        (tmp_path / "tests_here" / "test_these.py").write_text(tests)
        for mark in (tmp_path / "tests_here").glob("mark-*"):
            mark.unlink()
        return subprocess.run(
            ["bash", "-c", SCRIPT, "bash", *arguments],
            cwd=tmp_path,
            env={"ROOT": str(ROOT), "VENV": sys.prefix, "PYTHONPATH": str(ROOT)}
            | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p xdist"},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def _recorded(tmp_path: Path) -> list[str]:
    record = tmp_path / ".run" / "second-tries.txt"
    return record.read_text().splitlines() if record.exists() else []


def test_what_passes_on_its_second_try_is_named_and_recorded(run: Run, tmp_path: Path) -> None:
    """A run that is green only for that would say nothing of it."""
    result = run(flaky=12)

    assert result.returncode == 0, result.stdout
    names = sorted(f"tests_here/test_these.py::test_flaky[{number}]" for number in range(12))
    assert [line.split()[2] for line in _recorded(tmp_path)] == names
    for name in names:
        assert f"SECOND TRY {name}\n" in result.stdout
    assert "SECOND TRY tests_here/test_these.py::test_sound" not in result.stdout


def test_too_many_fail_the_run(run: Run, tmp_path: Path) -> None:
    """So many are no accident. pytest's closing line stays the last."""
    result = run(flaky=13)

    assert result.returncode == 1, result.stdout
    assert len(_recorded(tmp_path)) == 13
    assert "13 passed only on the second try, 12 may: the run fails" in result.stdout
    assert "13 passed" in result.stdout.splitlines()[-1]


def test_what_fails_twice_is_no_second_try(run: Run, tmp_path: Path) -> None:
    """It has failed, though its call has passed each time; and the record of earlier runs stays."""
    record = tmp_path / ".run" / "second-tries.txt"
    record.parent.mkdir()
    record.write_text("2026-01-01 00:00:00 tests/test_old.py::test_old\n")

    result = run(flaky=1, broken=1)

    assert result.returncode == 1
    assert "SECOND TRY tests_here/test_these.py::test_broken" not in result.stdout
    assert [line.rpartition("::")[2] for line in _recorded(tmp_path)] == [
        "test_old",
        "test_flaky[0]",
    ]


def test_without_a_second_try_there_is_no_record(run: Run, tmp_path: Path) -> None:
    """A debugger's run: what fails has failed."""
    result = run("-n", "0", flaky=1)

    assert result.returncode == 1
    assert "SECOND TRY" not in result.stdout
    assert _recorded(tmp_path) == []
