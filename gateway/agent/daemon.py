"""The agent itself: its loop, its links, and what it owns for them."""

import binascii
import os

from gateway.protocol import frames

from . import descriptors, signals
from .files.start import FileProcess
from .links.link import LinkClosed
from .links.listener import LinkListener
from .loop import WRITE, Loop
from .operations.commands import CommandOperations
from .operations.sandbox import QuietWaits, SandboxOperations
from .operations.table import Operations
from .ports.connection import PortOperations
from .processes.runner import Runner
from .retention import Limits, Retention


class Daemon:
    """Serves any number of links; owns the loop and, through the runner, all commands."""

    def __init__(self, listener, environment):
        self._loop = Loop()
        limits = Limits()
        self._retention = Retention(limits)
        quiet = QuietWaits()
        self._runner = Runner(self._loop, limits, self._retention, environment, quiet.tell)
        commands = CommandOperations(self._runner, self._retention)
        sandbox = SandboxOperations(self._runner, limits, quiet)
        files, ports = FileProcess(environment), PortOperations(self._loop)
        tables = (commands.table(), sandbox.table(), files.table(), ports.table())
        self._operations = Operations({name: do for table in tables for name, do in table.items()})
        self._identity = binascii.hexlify(os.urandom(16)).decode("ascii")
        self._links = {}
        LinkListener(self._loop, listener, self._add_link)

    def run(self):
        """Serve until the process is killed."""
        while True:
            self._loop.once()
            for link in list(self._links.values()):
                self._pump(link)
            self._retention.sweep()

    def _add_link(self, link):
        self._links[link.read_fd] = link
        self._loop.watch(link.read_fd, self._receive)
        hello = {
            "protocol": frames.PROTOCOL,
            "daemon": self._identity,
            "pid": os.getpid(),
            "running": self._runner.running,
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
        """Forget a link. Commands that it followed run on into their logs."""
        if self._links.pop(link.read_fd, None) is None:
            return
        self._loop.unwatch(link.read_fd)
        self._loop.unwatch(link.write_fd)
        link.close()


def serve(listener, environment):
    """Run the daemon on a listening socket; never returns. `environment` is the container's."""
    descriptors.raise_limit()
    signals.catch_all()
    Daemon(listener, environment).run()
