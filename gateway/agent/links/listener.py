"""Links as they come in: handed over by a carrier, or through the network namespace."""

import array
import os
import socket
import struct

from .link import Link

IS_LINK = b"L"


class LinkListener:
    """Makes a Link of every connection to the agent's socket, and gives it to `arrived`."""

    def __init__(self, loop, listener, arrived):
        self._loop = loop
        self._arrived = arrived
        listener.setblocking(False)
        loop.watch(listener, self._accept)

    def _accept(self, listener):
        try:
            carrier, _ = listener.accept()
        except OSError:
            return
        credentials = carrier.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        _pid, uid, _gid = struct.unpack("3i", credentials)
        if uid not in (os.getuid(), 0):
            carrier.close()
            return
        carrier.setblocking(False)
        self._loop.watch(carrier, self._take_descriptors)

    def _take_descriptors(self, carrier):
        """A carrier hands over its stdin and stdout (SCM_RIGHTS, unix(7)), or is the link itself,
        of a gateway that came in through the network namespace, or has gone."""
        self._loop.unwatch(carrier)
        received = array.array("i")
        try:
            room = socket.CMSG_SPACE(received.itemsize * 2)
            said, ancillary, _, _ = carrier.recvmsg(1, room)
        except OSError:
            said, ancillary = b"", []
        if said == IS_LINK and not ancillary:
            write_fd = os.dup(carrier.fileno())
            self._arrived(Link(carrier.detach(), write_fd, carrier))
            return
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received.frombytes(data[: len(data) - len(data) % received.itemsize])
        if len(received) != 2:
            for fd in received:
                os.close(fd)
            carrier.close()
            return
        self._arrived(Link(received[0], received[1], carrier))
