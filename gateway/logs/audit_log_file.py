"""The audit log's file: JSON lines that several workers append to."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
import time
from pathlib import Path

from gateway.errors import SettingsError
from gateway.settings import MIB, Settings

log = logging.getLogger(__name__)

LONGEST_VALUE = 256
"""Characters. What clients say about themselves must not make lines grow."""

REPORT_S = 60.0

QUOTA = 4
"""A quarter of the log is the most that one caller, or all refusals, can take of it."""

REFUSALS = "refused"


class AuditLog:
    """Appends entries, and lets no caller push out what others did.

    Of each caller, and of refusals, no more than a QUOTA-th of `max_bytes` gets into the common
    file before that is begun anew. What is more goes to a file of the caller's own beside it
    (`….of-<name>`, `….refused`), as large at most, which loses its own oldest entries only. The
    common file says where it goes on. `workers` write at the same time, and each counts for
    itself. Without `max_bytes` nothing is ever lost, and all is in one file.

    Raises SettingsError when the file cannot be opened at first.
    """

    def __init__(self, path: Path, max_bytes: int = 0, workers: int = 1) -> None:
        self._common = AuditFile(path, max_bytes)
        self._path = path
        self._quota = max_bytes // QUOTA
        self._workers = max(1, workers)
        self._written: dict[str, int] = {}
        self._generation = self._common.generation
        self._own: dict[str, AuditFile] = {}

    def write(self, entry: dict[str, object]) -> None:
        """Append an entry, its long values cut. Never raises: what the log cannot take (a full
        disk) is reported in the gateway's own log, at most once a minute."""
        line = _line(entry)
        name = _quota_name(entry)
        if name is None or not self._quota or not self._common.is_bounded():
            self._common.append(line)
            return
        if self._generation != self._common.generation:
            self._generation = self._common.generation
            self._written.clear()
        written = self._written.get(name, 0)
        allowed = self._quota / self._workers
        if written + len(line) <= allowed:
            self._common.append(line)
            self._written[name] = written + len(line)
            return
        if written <= allowed:
            self._written[name] = int(allowed) + 1
            goes_on = {"at": entry.get("at"), "action": "goes_on", "caller": entry.get("caller")}
            self._common.append(_line({**goes_on, "file": self._own_path(name).name}))
        self._own_file(name).append(line)

    def _own_path(self, name: str) -> Path:
        return self._path.with_name(f"{self._path.name}.{name}")

    def _own_file(self, name: str) -> AuditFile:
        if name not in self._own:
            # With the file before it no more than the quota.
            self._own[name] = AuditFile(self._own_path(name), self._quota // 2, is_wanted=False)
        return self._own[name]

    def close(self) -> None:
        """May be repeated."""
        for file in (self._common, *self._own.values()):
            file.close()


def _quota_name(entry: dict[str, object]) -> str | None:
    """Under what an entry counts. None: without keys all are one caller's, whose log it is."""
    if entry.get("action") == "denied" and not entry.get("caller"):
        return REFUSALS
    caller = entry.get("caller")
    # Names of keys may have dots; `….1` is the file before.
    return None if not caller else f"of-{str(caller).replace('.', '%2e')}"


def _line(entry: dict[str, object]) -> bytes:
    shown = {name: _cut(value) for name, value in entry.items() if value is not None}
    # ASCII: control characters and what looks like a line's end are escaped.
    return json.dumps(shown, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


class AuditFile:
    """Appends one line per call, in one write(2) with O_APPEND: lines of workers do not mix.

    The file is opened again when somebody (logrotate) has renamed it. Beyond `max_bytes` the
    gateway itself renames it, to `….1`, so that it never fills a disk; 0 leaves that to others.
    Raises SettingsError when the file `is_wanted` by the operator and cannot be opened at first.
    """

    def __init__(self, path: Path, max_bytes: int = 0, *, is_wanted: bool = True) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._reported_at = -REPORT_S
        self._cut_off = False
        self._file: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = _opened(path)
        except OSError as error:
            if not is_wanted:
                return  # `append` tries again, and reports it
            raise SettingsError(f"SANDBOX_AUDIT_LOG={path} is wrong: {error.strerror}") from None

    @property
    def generation(self) -> int:
        """Another one whenever the file at the path is another."""
        try:
            return self._path.stat().st_ino
        except OSError:
            return 0

    def is_bounded(self) -> bool:
        """Whether the gateway itself renames it: neither a link nor a device."""
        try:
            return self._max_bytes > 0 and stat.S_ISREG(self._path.lstat().st_mode)
        except OSError:
            return False

    def append(self, line: bytes) -> None:
        """Never raises."""
        try:
            file = self._current()
            written = os.write(file, b"\n" + line if self._cut_off else line)
            self._cut_off = written < len(line)
        except OSError as error:
            self._report(error)

    def _current(self) -> int:
        try:
            at_path = self._path.stat()
        except FileNotFoundError:
            at_path = None
        if self._file is not None:
            ours = os.fstat(self._file)
            if at_path is not None and os.path.samestat(ours, at_path):
                if not self._is_full(at_path):
                    return self._file
                self._make_room()
            os.close(self._file)
            self._file = None
        self._file = _opened(self._path)
        return self._file

    def _is_full(self, found: os.stat_result) -> bool:
        # Links and devices (`/dev/stderr` is a link to a file, at times) are never renamed.
        return 0 < self._max_bytes <= found.st_size and stat.S_ISREG(self._path.lstat().st_mode)

    def _make_room(self) -> None:
        """Rename the file, unless another worker has done so since."""
        assert self._file is not None
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(self._file), self._path.lstat()):
                os.replace(self._path, self._path.with_name(f"{self._path.name}.1"))
        except FileNotFoundError:
            pass
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _report(self, error: OSError) -> None:
        now = time.monotonic()
        if now - self._reported_at >= REPORT_S:
            self._reported_at = now
            log.error("the audit log %s cannot be written: %s", self._path, error.strerror)

    def close(self) -> None:
        """May be repeated."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def log_of(settings: Settings) -> AuditLog | None:
    """The log that is configured; None where there is to be none."""
    path = settings.audit_path
    if path is None:
        return None
    return AuditLog(path, settings.audit_log_mb * MIB, settings.workers)


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _cut(value: object) -> object:
    if isinstance(value, str) and len(value) > LONGEST_VALUE:
        return value[:LONGEST_VALUE] + "…"
    return value
