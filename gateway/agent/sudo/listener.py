"""The socket that `sudo` asks at (scripts/image/sudo is its other side)."""

import os
import signal
import socket
import struct

from . import program, request

NAME = "sandbox-sudo-1"
"""Abstract socket; the number is that of what is said there."""

MOST = 256
"""Programs at a time. Each has a process beside it that passes on signals and its end."""


class SudoListener:
    """Forks a process for each one who asks. Whoever is in the sandbox may ask."""

    def __init__(self, loop):
        self._helpers = set()
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind("\0" + NAME)
        except OSError:
            listener.close()  # somebody in the sandbox has taken it, and has to do without
            return
        listener.listen(64)
        listener.setblocking(False)
        loop.watch(listener, self._accept)

    def _accept(self, listener):
        try:
            asking, _ = listener.accept()
        except OSError:
            return
        try:
            self._helpers = {pid for pid in self._helpers if os.path.exists("/proc/%d" % pid)}
            if len(self._helpers) >= MOST:
                request.refuse(asking, "%d programs run as root by sudo" % MOST)
                return
            pid = os.fork()
            if pid:
                self._helpers.add(pid)
                return
        except OSError as error:
            request.refuse(asking, "no process for it: %s" % (error.strerror or error))
            return
        finally:
            if os.getpid() == _AGENT:
                asking.close()
        _help(asking)


_AGENT = os.getpid()


def _help(asking):
    """In a process of its own. Never returns."""
    try:
        signal.set_wakeup_fd(-1)
        os.setsid()
        for fd in [int(name) for name in os.listdir("/proc/self/fd")]:
            if fd > 2 and fd != asking.fileno():
                try:
                    os.close(fd)
                except OSError:
                    pass  # that of the list itself
        credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        wanted = request.received(asking, struct.unpack("3i", credentials)[1:])
        program.run(asking, wanted)
    except request.Refused as refused:
        request.refuse(asking, str(refused))
    finally:
        os._exit(0)
