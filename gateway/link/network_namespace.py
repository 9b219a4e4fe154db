"""The network namespace of a container, where the gateway runs as root on the engine's host.

A namespace belongs to a thread, and a socket to the namespace that it was made in (setns(2),
network_namespaces(7)): whoever calls this does so in a thread that does nothing else.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def enter(container_id: str, pid: int) -> None:
    """Move the current thread into the network namespace of a container, whose first process is
    `pid` on this host. Raises OSError: not permitted, or not this host's container."""
    with Path(f"/proc/{pid}/ns/net").open("rb") as namespace:
        # Looked at after the namespace is held: the pid may have been given to another process,
        # and that of an engine elsewhere means nothing here.
        if container_id not in Path(f"/proc/{pid}/cgroup").read_text():
            raise ProcessLookupError(f"process {pid} is not of container {container_id:.12}")
        join(namespace.fileno())


def join(namespace: int) -> None:
    """Move the current thread into a network namespace, of which this is a descriptor. Raises
    OSError."""
    if _libc.setns(namespace, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
