"""The links of a process that has a loop: what comes on them, and what goes out."""

import binascii
import os

from gateway.protocol import frames

from ..loop import WRITE
from .link import LinkClosed
from .listener import LinkListener


class LinkServer:
    """Serves any number of links. `operations` carry out what OPENs ask for, and `running` says how
    many commands run here."""

    def __init__(self, loop, listener, operations, running=lambda: 0):
        self._loop = loop
        self._operations = operations
        self._running = running
        self._identity = binascii.hexlify(os.urandom(16)).decode("ascii")
        self._links = {}
        LinkListener(loop, listener, self._add_link)

    def pump(self):
        """Write on every link what can be written. To be called after each turn of the loop."""
        for link in list(self._links.values()):
            self._pump(link)

    def _add_link(self, link):
        self._links[link.read_fd] = link
        self._loop.watch(link.read_fd, self._receive)
        hello = {
            "protocol": frames.PROTOCOL,
            "daemon": self._identity,
            "pid": os.getpid(),
            "running": self._running(),
        }
        link.send(frames.encode_json(frames.HELLO, 0, hello))

    def _receive(self, fd):
        link = self._links.get(fd)
        if link is None:
            return
        try:
            for kind, channel, payload in link.receive():
                self._handle(link, kind, channel, payload)
        except (LinkClosed, frames.FrameError):
            self._drop(link)

    def _handle(self, link, kind, number, payload):
        if kind == frames.OPEN:
            self._operations.open(link, number, payload)
            return
        channel = link.channels.get(number)
        if kind == frames.DATA:
            data = frames.decode_data(payload)
            if channel is not None:
                channel.take(*data)
        elif kind == frames.CREDIT:
            credit = frames.decode_credit(payload)
            if channel is not None:
                channel.granted(*credit)
        elif kind == frames.CLOSE:
            if channel is not None:
                channel.close()
        else:
            raise frames.FrameError("a gateway does not send kind %d" % kind)

    def _pump(self, link):
        """Write what can be written; wait for the pipe only while something is left."""
        try:
            blocked = link.pump()
        except LinkClosed:
            self._drop(link)
            return
        link.advanced()
        waiting = self._loop.is_watched(link.write_fd)
        if blocked and not waiting:
            self._loop.watch(link.write_fd, lambda fd: None, WRITE)
        elif waiting and not blocked:
            self._loop.unwatch(link.write_fd)

    def _drop(self, link):
        """Forget a link. What it followed goes on."""
        if self._links.pop(link.read_fd, None) is None:
            return
        self._loop.unwatch(link.read_fd)
        self._loop.unwatch(link.write_fd)
        link.close()
