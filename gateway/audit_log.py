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


class AuditLog:
    """Appends one line per `write`, in one write(2) with O_APPEND: lines of workers do not mix.

    The file is opened again when somebody (logrotate) has renamed it. Beyond `max_bytes` the
    gateway itself renames it, to `….1`, so that it never fills a disk; 0 leaves that to others.
    Raises SettingsError when the file cannot be opened at first.
    """

    def __init__(self, path: Path, max_bytes: int = 0) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._reported_at = -REPORT_S
        self._cut_off = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file: int | None = _opened(path)
        except OSError as error:
            raise SettingsError(f"SANDBOX_AUDIT_LOG={path} is wrong: {error.strerror}") from None

    def write(self, entry: dict[str, object]) -> None:
        """Append an entry, its long values cut. Never raises: what the log cannot take (a full
        disk) is reported in the gateway's own log, at most once a minute."""
        shown = {name: _cut(value) for name, value in entry.items() if value is not None}
        # ASCII: control characters and what looks like a line's end are escaped.
        line = json.dumps(shown, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"
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
    return None if path is None else AuditLog(path, settings.audit_log_mb * MIB)


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _cut(value: object) -> object:
    if isinstance(value, str) and len(value) > LONGEST_VALUE:
        return value[:LONGEST_VALUE] + "…"
    return value
