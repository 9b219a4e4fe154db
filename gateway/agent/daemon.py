"""The agent itself: its links, and what gateways ask of it on them."""

import array
import base64
import binascii
import os
import socket
import struct

from . import descriptors, frames, proctree, signals
from .link import Link, LinkClosed
from .loop import WRITE, Loop
from .reader import Reader
from .retention import Limits, Retention
from .runner import Runner
from .stdin import StdinClosed

IS_LINK = b"L"

MAX_RUNNING = 4096
LISTED = 200


class Refused(Exception):
    """An operation that cannot be carried out, with a code for the gateway."""

    def __init__(self, code, detail):
        super().__init__(detail)
        self.code = code


class Daemon:
    """Serves any number of links; owns the loop and, through the runner, all commands."""

    def __init__(self, listener, environment):
        self._loop = Loop()
        self._limits = Limits()
        self._retention = Retention(self._limits)
        self._runner = Runner(
            self._loop, self._limits, self._retention, environment, self._tell_quiet
        )
        self._identity = binascii.hexlify(os.urandom(16)).decode("ascii")
        self._links = {}
        self._quiet_channels = []
        self._operations = {
            "run": self._run,
            "attach": self._attach,
            "list": self._list,
            "last_words": self._last_words,
            "signal": self._signal,
            "resize": self._resize,
            "stdin": self._stdin,
            "configure": self._configure,
            "running": self._count_running,
            "quiet": self._wait_quiet,
        }
        listener.setblocking(False)
        self._loop.watch(listener, self._accept)

    def run(self):
        """Serve until the process is killed."""
        while True:
            self._loop.once()
            for link in list(self._links.values()):
                self._pump(link)
            self._retention.sweep()

    # --- links ---------------------------------------------------------------------------------

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
            self._add_link(Link(carrier.detach(), write_fd, carrier))
            return
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received.frombytes(data[: len(data) - len(data) % received.itemsize])
        if len(received) != 2:
            for fd in received:
                os.close(fd)
            carrier.close()
            return
        self._add_link(Link(received[0], received[1], carrier))

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

    def _handle(self, link, kind, channel, payload):
        if kind == frames.OPEN:
            self._open(link, channel, frames.decode_json(payload))
        elif kind == frames.CREDIT:
            reader = link.channels.get(channel)
            if reader is not None:
                reader.grant(*frames.decode_credit(payload))
                link.wake(reader)
        elif kind == frames.CLOSE:
            reader = link.channels.get(channel)
            link.remove(channel)
            if reader is not None:
                self._runner.resume(reader.command)
        else:
            raise frames.FrameError("a gateway does not send kind %d" % kind)

    def _pump(self, link):
        """Write what can be written; wait for the pipe only while something is left."""
        try:
            blocked = link.pump()
        except LinkClosed:
            self._drop(link)
            return
        for reader in link.advanced():
            self._runner.resume(reader.command)
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
        followed = [reader.command for reader in link.channels.values()]
        self._quiet_channels = [wait for wait in self._quiet_channels if wait[0] is not link]
        link.close()
        for command in followed:
            self._runner.resume(command)

    # --- operations ----------------------------------------------------------------------------

    def _open(self, link, channel, message):
        """Carry out what an OPEN asks for; what cannot be done is refused on its channel."""
        try:
            operation = self._operations.get(message.get("op"))
            if operation is None:
                raise Refused("unknown_operation", "no operation %r" % (message.get("op"),))
            operation(link, channel, message)
        except Refused as refused:
            self._tell(link, channel, event="refused", code=refused.code, detail=str(refused))
        except (KeyError, TypeError, ValueError) as error:
            self._tell(link, channel, event="refused", code="bad_request", detail=repr(error))

    @staticmethod
    def _tell(link, channel, **event):
        link.send(frames.encode_json(frames.EVENT, channel, event))

    def _run(self, link, channel, message):
        """Start a command, or go on reading one: the same key never runs twice."""
        key = str(message["key"])
        command = self._retention.by_key(key)
        if command is not None and command.finished and message.get("anew"):
            self._retention.make_room(command)
            command = None
        if command is None:
            if self._retention.was_forgotten(key):
                raise Refused("forgotten", "it ended too long ago")
            if message.get("resume"):
                raise Refused("unknown_command", "no such command")
            if self._runner.running >= MAX_RUNNING:
                raise Refused("too_many_commands", "%d run" % MAX_RUNNING)
            command = self._runner.start(key, message)
        self._read(link, channel, command, message)

    def _attach(self, link, channel, message):
        """Read a command that somebody else started."""
        self._read(link, channel, self._command(message), message, tell=True)

    def _read(self, link, channel, command, message, tell=False):
        """Open a reader. `tell` the gateway what it noted about the command."""
        mode = message["mode"]
        if mode == "detached":
            self._tell(link, channel, event="started", pid=command.pid)
            return
        offsets = [int(offset) for offset in message.get("offsets", (0, 0))]
        for offset, (_stream, log) in zip(offsets, command.logs):
            if not 0 <= offset <= log.size:
                raise Refused("bad_offset", "only %d bytes have been written" % log.size)
        if message.get("tail") is not None:
            offsets = [max(0, log.size - int(message["tail"])) for _stream, log in command.logs]
            self._runner.resize_to(command, message.get("tty"))
        follow = mode == "follow"
        cap, credit = int(message.get("cap", 0)), int(message["credit"])
        reader = Reader(link, channel, command, follow, cap, offsets, credit, tell)
        command.readers.append(reader)
        link.add(reader)

    def _command(self, message):
        if "key" in message:
            command = self._retention.by_key(message["key"])
        else:
            command = self._retention.by_request(message["request_id"])
        if command is None:
            raise Refused("unknown_command", "no such command, or it ended too long ago")
        return command

    def _running(self, message):
        command = self._command(message)
        if command.finished:
            raise Refused("command_finished", "the command has ended")
        return command

    def _list(self, link, channel, message):
        if "request_id" in message:
            commands = [self._retention.by_request(message["request_id"])]
        else:
            commands = self._retention.latest(LISTED)
        summaries = [command.summary() for command in commands if command is not None]
        self._tell(link, channel, event="commands", commands=summaries)

    def _last_words(self, link, channel, message):
        latest = self._retention.latest(int(message["count"]))[-int(message["count"]) :]
        size = int(message["bytes"])
        said = [command.last_words(size) for command in latest]
        self._tell(link, channel, event="commands", commands=said)

    def _signal(self, link, channel, message):
        command = self._running(message)
        number = proctree.signal_number(message["signal"])
        if number is None:
            raise Refused("bad_request", "no signal %r" % (message["signal"],))
        self._tell(link, channel, event="done", reached=self._runner.send_signal(command, number))

    def _resize(self, link, channel, message):
        command = self._running(message)
        if not self._runner.resize(command, int(message["cols"]), int(message["rows"])):
            raise Refused("no_terminal", "the command has no terminal")
        self._tell(link, channel, event="done")

    def _stdin(self, link, channel, message):
        command = self._running(message)
        data = base64.b64decode(message["data"])
        try:
            self._runner.write_stdin(
                command,
                message["write_id"],
                data,
                bool(message.get("end")),
                lambda: self._tell(link, channel, event="done"),
            )
        except StdinClosed:
            raise Refused("no_stdin", "the command takes no input, or not any more") from None

    def _configure(self, link, channel, message):
        self._limits.configure(message)
        self._tell(link, channel, event="done")

    def _count_running(self, link, channel, message):
        self._tell(link, channel, event="running", running=self._runner.running)

    def _wait_quiet(self, link, channel, message):
        self._quiet_channels.append((link, channel))
        if not self._runner.running:
            self._tell_quiet()

    def _tell_quiet(self):
        for link, channel in self._quiet_channels:
            self._tell(link, channel, event="quiet")
        self._quiet_channels = []


def serve(listener, environment):
    """Run the daemon on a listening socket; never returns. `environment` is the container's."""
    descriptors.raise_limit()
    signals.catch_all()
    Daemon(listener, environment).run()
