"""Where keys come from: the environment, and a file that may change while the gateway runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from gateway.errors import SettingsError
from gateway.identity.keys import Keyring, parse_file, parse_inline
from gateway.settings import Settings

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often at most the file is looked at: a stat(2) costs a microsecond, but not on NFS."""

MAX_FILE_BYTES = 1024 * 1024

_Version = tuple[int, int, int]


class KeySource:
    """The keys of SANDBOX_API_KEYS and SANDBOX_API_KEYS_FILE together.

    Raises SettingsError, naming the variable, when there is something wrong at the start. Later a
    file that is missing, broken or empty is reported, and the keys stay what they were: half a
    file, seen while an editor writes it, must lock nobody out.
    """

    def __init__(
        self,
        inline: str = "",
        path: Path | None = None,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        self._monotonic = monotonic or time.monotonic
        self._path = path
        try:
            self._inline = parse_inline(inline)
            if inline and not self._inline:
                raise SettingsError("it has no key")
        except SettingsError as error:
            raise SettingsError(f"SANDBOX_API_KEYS is wrong: {error}") from None
        self._version: _Version | None = None
        self._looked_at = self._monotonic()
        try:
            if path is not None:
                self._version = _version(path)
            self._keyring = self._read()
        except (OSError, SettingsError) as error:
            raise SettingsError(f"{self._name()} is wrong: {_said(error)}") from None

    @property
    def configured(self) -> bool:
        """Whether callers need a key at all. Never changes."""
        return len(self._keyring) > 0

    def current(self) -> Keyring:
        """The keys that are valid now; a changed file counts a second later at most."""
        if self._path is not None:
            now = self._monotonic()
            if now - self._looked_at >= LOOK_S:
                self._looked_at = now
                self._look(self._path)
        return self._keyring

    def _look(self, path: Path) -> None:
        version: _Version | None = None
        try:
            version = _version(path)
            if version == self._version:
                return
            self._keyring = self._read()
            log.warning("%s was read anew: %d keys", self._name(), len(self._keyring))
        except (OSError, SettingsError) as error:
            if version is None and self._version is None:
                return  # it is still missing
            log.error("%s is wrong, the old keys stay valid: %s", self._name(), _said(error))
        self._version = version

    def _read(self) -> Keyring:
        from_file = []
        if self._path is not None:
            with self._path.open("rb") as file:
                raw = file.read(MAX_FILE_BYTES + 1)
            if len(raw) > MAX_FILE_BYTES:
                raise SettingsError("it is too large")
            try:
                from_file = parse_file(raw.decode("utf-8"))
            except UnicodeDecodeError:
                raise SettingsError("it is not UTF-8") from None
            if not from_file:
                raise SettingsError("it has no key")
        return Keyring([*self._inline, *from_file])

    def _name(self) -> str:
        return "SANDBOX_API_KEYS" if self._path is None else f"SANDBOX_API_KEYS_FILE={self._path}"


def source_of(settings: Settings) -> KeySource:
    """The keys that are configured."""
    path = Path(settings.api_keys_file) if settings.api_keys_file else None
    return KeySource(settings.api_keys.get_secret_value(), path)


def _version(path: Path) -> _Version:
    found = path.stat()
    return found.st_mtime_ns, found.st_ino, found.st_size


def _said(error: OSError | SettingsError) -> str:
    return (error.strerror or "cannot be read") if isinstance(error, OSError) else str(error)
