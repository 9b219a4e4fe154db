"""Files on this side that are replaced at once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replaced(target: Path, mode: int | None = None) -> Iterator[IO[bytes]]:
    """A file beside `target` that takes its place when all went well, and is removed otherwise.
    `mode` is by default what a new file has."""
    with tempfile.NamedTemporaryFile(
        dir=target.parent, prefix=f".{target.name}.", delete=False
    ) as file:
        try:
            yield file
            file.flush()
            os.chmod(file.name, 0o666 & ~_umask() if mode is None else mode)
            os.replace(file.name, target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
