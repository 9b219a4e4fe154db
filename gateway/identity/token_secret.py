"""The secret that access tokens are signed with: one file, the same for all workers."""

from __future__ import annotations

import logging
import os
import secrets
import tempfile
from pathlib import Path

from gateway.errors import StoreUnavailable

log = logging.getLogger(__name__)

SECRET_BYTES = 32


def load_or_create(path: Path) -> bytes:
    """The secret in `path`, made by whichever worker comes first. Raises StoreUnavailable.

    Whoever removes the file makes every token that is out invalid, after a restart.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _create(path)
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                os.fchmod(file.fileno(), 0o600)
                log.error("%s could be read by others: remove it, and restart", path)
            secret = bytes.fromhex(file.read(1024).decode("ascii").strip())
    except OSError as error:
        raise StoreUnavailable(str(error)) from error
    except ValueError:
        secret = b""
    if len(secret) < SECRET_BYTES:
        raise StoreUnavailable(f"{path} is damaged: remove it")
    return secret


def _create(path: Path) -> None:
    """It appears whole or not at all, and never twice: link(2) fails where there is a file."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES).hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            pass  # another worker was first
    finally:
        os.unlink(name)
