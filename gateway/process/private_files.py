"""What the gateway keeps is for its own user: the data directory, and the file of keys."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import SettingsError

log = logging.getLogger(__name__)

OTHERS = 0o077

_OURS = ("gateway.db", "gateway.pid", "token_secret", "workers", "metrics", "audit.jsonl")
"""By one of these an existing directory is known as a gateway's."""


def create_for_owner_only() -> None:
    """From here on this process makes files and directories that no other user reads (umask(2)):
    the store's too, which SQLite would make 0644."""
    os.umask(OTHERS)


def close_to_others(directory: Path) -> None:
    """Make a data directory 0700 and all in it the owner's only; made where it is missing.

    A directory that is open, and was not a gateway's before, may be used by others (`/tmp`, a
    home): it is not changed. Raises SettingsError then, and where the mode cannot be changed.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = directory.stat().st_mode
        if mode & OTHERS:
            inside = os.listdir(directory)
            if inside and not set(inside) & set(_OURS):
                raise SettingsError(
                    f"SANDBOX_DATA_DIR={directory} is wrong: other users may enter it, and it "
                    "holds what is not the gateway's; name another, or chmod 700 it"
                )
            directory.chmod(stat.S_IMODE(mode) & ~OTHERS)
            log.warning("%s was open to other users; it is closed now", directory)
        for path in _open_to_others(directory):
            path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~OTHERS)
    except FileNotFoundError:
        pass  # another worker has removed what was just found
    except OSError as error:
        raise SettingsError(
            f"SANDBOX_DATA_DIR={directory} is wrong: it cannot be closed to other users: "
            f"{error.strerror}"
        ) from None


def close_key_file(path: Path) -> None:
    """Make a file of keys the owner's only, if it is this user's.

    Another's, or a link (a mounted secret), stays readable: it holds digests of random keys, which
    open nothing. Raises SettingsError where others could write to it: theirs would be keys too.
    """
    try:
        found = path.stat()
        if found.st_mode & OTHERS and found.st_uid == os.geteuid() and not path.is_symlink():
            path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
            found = path.stat()
    except OSError:
        return  # whoever reads it says what is wrong
    if found.st_mode & 0o022:
        raise SettingsError(
            f"SANDBOX_API_KEYS_FILE={path} is wrong: other users can write to it (chmod 600)"
        )


def _open_to_others(directory: Path) -> Iterator[Path]:
    for parent, directories, files in os.walk(directory):
        for name in (*directories, *files):
            path = Path(parent, name)
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                continue
            if mode & OTHERS and (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                yield path
