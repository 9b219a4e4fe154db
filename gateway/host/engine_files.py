"""The files that the engine itself mounts into each container: hosts, hostname, resolv.conf.

They lie in the engine's own directory, outside of a sandbox's disk, and belong to root: in a
sandbox with root they would be room on the host's disk that its disk does not bound. So they are
made read-only there, as they are at level `strict` by the engine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.host import programs

_PROGRAM = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
namespace = os.open("/proc/%d/ns/mnt" % int(sys.argv[1]), os.O_RDONLY)
if libc.setns(namespace, 0x00020000):
    sys.exit("setns: %s" % os.strerror(ctypes.get_errno()))
# Again the same mount (MS_REMOUNT, MS_BIND), with MS_RDONLY, MS_NOSUID, MS_NODEV and MS_NOEXEC.
for path in sys.argv[2:]:
    if libc.mount(None, os.fsencode(path), None, 0x1000 | 0x20 | 1 | 2 | 4 | 8, None):
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOENT):  # the engine mounts nothing there
            sys.exit("%s: %s" % (path, os.strerror(number)))
"""
"""A process of its own: only one with a single thread enters a mount namespace (setns(2)). Nothing
of the container's is run there, and no path is followed on the host."""

FILES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")


class Container(Protocol):
    """One that has just been started."""

    @property
    def pid(self) -> int | None: ...

    @property
    def labels(self) -> Mapping[str, str]: ...


class EngineFiles:
    """Implements `gateway.engine.interface.Preparation`. `has_root` says by a container's labels
    whether there is root in it, `may` whether this process enters containers."""

    def __init__(
        self, has_root: Callable[[Mapping[str, str]], bool], may: Callable[[], bool]
    ) -> None:
        self._has_root = has_root
        self._may = may

    def before_start(self, container: Container) -> None:
        """They are not mounted yet."""

    def after_start(self, container: Container) -> None:
        """Its first process only sleeps: nothing has been written. Raises HostToolFailed."""
        if container.pid is not None and self._has_root(container.labels) and self._may():
            programs.run([sys.executable, "-I", "-S", "-c", _PROGRAM, str(container.pid), *FILES])
