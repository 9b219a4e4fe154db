"""Programs of the host that the gateway starts, always as root and without a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from gateway.errors import HostToolFailed

LIMIT_S = 20.0

_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Not everybody's PATH has the sbin directories, and root's own is nothing to rely on."""


def find(program: str) -> str | None:
    """The path of a program, None where the host does not have it."""
    return shutil.which(program, path=_PLACES)


def run(argv: Sequence[str], given: str = "", pass_fds: tuple[int, ...] = ()) -> str:
    """What a program prints. In a gevent worker only the calling greenlet waits.

    Raises HostToolFailed when it is missing, fails or takes longer than `LIMIT_S`.
    """
    path = find(argv[0])
    if path is None:
        raise HostToolFailed(f"{argv[0]} is not installed")
    try:
        done = subprocess.run(  # noqa: S603  # no shell; arguments are the gateway's own
            [path, *argv[1:]],
            input=given,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            pass_fds=pass_fds,
            # Messages in English, and nothing of the gateway's own environment.
            env={"PATH": _PLACES, "LC_ALL": "C"},
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise HostToolFailed(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        raise HostToolFailed(f"{' '.join(argv)}: {done.stderr.strip()[-500:]}")
    return done.stdout


def is_root() -> bool:
    return os.geteuid() == 0
