"""The audit log's file: whole lines, whoever writes and whatever is in them."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import SettingsError
from gateway.logs.audit_log_file import AuditLog


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(), st.none() | st.text() | st.integers() | st.booleans()))
def test_an_entry_is_one_line_of_ascii(tmp_path: Path, entry: dict[str, object]) -> None:
    """Line ends, escape sequences of terminals, NUL: nothing forges a second entry."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"")
    log = AuditLog(path)
    log.write(entry)
    log.close()

    raw = path.read_bytes()
    assert raw.count(b"\n") == 1
    assert all(byte == 0x0A or 0x20 <= byte < 0x7F for byte in raw)
    assert {*_lines(path)[0]} == {name for name, value in entry.items() if value is not None}


def test_long_values_are_cut(tmp_path: Path) -> None:
    """Clients name things; they shall not fill the disk."""
    log = AuditLog(tmp_path / "audit.jsonl")
    log.write({"request_id": "x" * 10_000})
    log.close()

    assert (tmp_path / "audit.jsonl").stat().st_size < 400


def test_it_is_for_its_owner_only(tmp_path: Path) -> None:
    """Ids of sandboxes are in it."""
    AuditLog(tmp_path / "new" / "audit.jsonl").close()

    assert stat.S_IMODE((tmp_path / "new" / "audit.jsonl").stat().st_mode) == 0o600


def test_a_renamed_file_is_left_alone(tmp_path: Path) -> None:
    """logrotate: the next entry goes into a new file; so it does when the file was removed."""
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    log.write({"n": 1})
    path.rename(tmp_path / "audit.jsonl.old")
    log.write({"n": 2})
    path.unlink()
    log.write({"n": 3})
    log.close()

    assert _lines(tmp_path / "audit.jsonl.old") == [{"n": 1}]
    assert _lines(path) == [{"n": 3}]


@pytest.mark.long
def test_workers_write_whole_lines_and_share_one_limit(tmp_path: Path) -> None:
    """Four processes, while the file is renamed under them again and again: no line is torn, and
    no more than two files are ever there."""
    path = tmp_path / "audit.jsonl"
    script = (
        "import sys; from pathlib import Path; from gateway.logs.audit_log_file import AuditLog\n"
        "log = AuditLog(Path(sys.argv[1]), 20_000)\n"
        "for n in range(1000): log.write({'worker': sys.argv[2], 'n': n, 'pad': 'x' * 50})\n"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), str(number)])
        for number in range(4)
    ]
    assert [worker.wait(60) for worker in workers] == [0] * 4

    assert {found.name for found in tmp_path.iterdir()} == {"audit.jsonl", "audit.jsonl.1"}
    for found in tmp_path.iterdir():
        assert found.stat().st_size < 21_000
        last: dict[object, int] = {}
        for line in _lines(found):
            assert line["n"] > last.get(line["worker"], -1), "in the order of each worker"
            last[line["worker"]] = line["n"]


def test_without_a_limit_it_is_never_renamed(tmp_path: Path) -> None:
    """Whoever has logrotate does it there."""
    log = AuditLog(tmp_path / "audit.jsonl")
    for n in range(1000):
        log.write({"n": n})
    log.close()

    assert len(_lines(tmp_path / "audit.jsonl")) == 1000


def test_a_link_is_never_renamed(tmp_path: Path) -> None:
    """SANDBOX_AUDIT_LOG=/dev/stderr is one, in a container to a pipe or a file: what it leads to
    is written to, and the link stays where it is."""
    link = tmp_path / "link"
    link.symlink_to("target")
    log = AuditLog(link, 1)
    log.write({"n": 1})
    log.write({"n": 2})
    log.close()

    assert {found.name for found in tmp_path.iterdir()} == {"link", "target"}
    assert link.is_symlink()
    assert _lines(tmp_path / "target") == [{"n": 1}, {"n": 2}]


def test_a_full_disk_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and once."""
    log = AuditLog(Path("/dev/full"))
    for n in range(10):
        log.write({"n": n})
    log.close()

    [record] = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "No space left" in record.getMessage()


def test_a_line_after_a_torn_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that the disk took only in part must not swallow the next entry."""
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:5]))
    log.write({"n": 1})
    monkeypatch.setattr(os, "write", write)
    log.write({"n": 2})
    log.write({"n": 3})
    log.close()

    lines = path.read_text().splitlines()
    assert [json.loads(line) for line in lines[1:]] == [{"n": 2}, {"n": 3}]


def test_a_file_that_cannot_be_opened_is_an_error_at_the_start(tmp_path: Path) -> None:
    """Who wants an audit log shall not find out later that there is none."""
    (tmp_path / "file").write_text("")

    with pytest.raises(SettingsError, match="SANDBOX_AUDIT_LOG="):
        AuditLog(tmp_path / "file" / "audit.jsonl")


def _act(caller: str | None, n: int, action: str = "patch") -> dict[str, object]:
    return {"action": action, "caller": caller, "n": n, "pad": "x" * 50}


def test_no_caller_pushes_out_what_others_did(tmp_path: Path) -> None:
    """One of them writes ten times what the log holds, and refusals come as well: every entry of
    the others, and the first refusals, are still there; the loud one's latest are in a file of its
    own, and all files together are bounded."""
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, 20_000)
    for n in range(2000):
        log.write(_act("loud.one", n))
        if n % 100 == 0:
            log.write(_act("quiet", n))
        if n % 5 == 0:
            log.write(_act(None, n, "denied"))
    log.close()

    common = _lines(path)
    assert [e["n"] for e in common if e.get("caller") == "quiet"] == list(range(0, 2000, 100))
    assert not path.with_name("audit.jsonl.1").exists()
    assert [e["file"] for e in common if e["action"] == "goes_on"] == [
        "audit.jsonl.of-loud%2eone",
        "audit.jsonl.refused",
    ]
    assert len([e for e in common if e["action"] == "denied"]) > 10
    own = _lines(tmp_path / "audit.jsonl.of-loud%2eone")
    assert own[-1]["n"] == 1999
    assert _lines(tmp_path / "audit.jsonl.refused")[-1]["n"] == 1995
    assert sum(found.stat().st_size for found in tmp_path.iterdir()) < 20_000 * 2


def test_a_share_is_counted_anew_with_each_file(tmp_path: Path) -> None:
    """When the log is begun anew, by whoever it is, what everybody took of it is forgotten: one is
    in the common file again."""
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, 4_000)
    for n in range(40):
        for caller in "abc":
            log.write(_act(caller, n))
    path.rename(tmp_path / "kept")
    log.write(_act("a", 40))
    log.write(_act("a", 41))
    log.close()

    assert [entry["n"] for entry in _lines(path)][-1] == 41
    assert stat.S_IMODE((tmp_path / "audit.jsonl.of-a").stat().st_mode) == 0o600


@pytest.mark.parametrize("max_bytes", [0, 4_000])
def test_without_keys_or_limit_everything_is_in_one_file(tmp_path: Path, max_bytes: int) -> None:
    """There is nobody to share with, or nothing is ever lost."""
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, max_bytes)
    for n in range(30):
        log.write(_act(None if max_bytes else "a", n))
    log.close()

    assert {found.name for found in tmp_path.iterdir()} == {path.name}
    assert len(_lines(path)) == 30


def test_own_files_that_cannot_be_written_stop_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A directory in their place: the common file goes on, and it is said."""
    (tmp_path / "audit.jsonl.of-a").mkdir()
    log = AuditLog(tmp_path / "audit.jsonl", 4_000)
    for n in range(40):
        log.write(_act("a", n))
    log.write(_act("b", 1))
    log.close()

    assert _lines(tmp_path / "audit.jsonl")[-1]["caller"] == "b"
    assert any("cannot be written" in record.getMessage() for record in caplog.records)
