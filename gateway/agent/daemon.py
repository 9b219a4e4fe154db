"""The agent's event loop: links, commands, child processes. One thread, `selectors`."""

import array
import binascii
import os
import resource
import selectors
import signal
import socket
import struct
import time
from collections import deque

from . import frames
from .command import Command
from .link import Link, LinkClosed
from .reader import Reader

RETAIN_S = 300.0
RETAIN_COMMANDS = 1000
RETAIN_BYTES = 32 * 1024 * 1024
REMEMBERED_KEYS = 10000
"""Of forgotten commands: so many keys still never run twice."""

MAX_RUNNING = 4096
MAX_LINGERING = 256

HOUSEKEEPING_S = 10.0


class Daemon:
    """Owns everything in the agent: the listening socket, the links, the commands."""

    def __init__(self, listener):
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        self._identity = binascii.hexlify(os.urandom(16)).decode("ascii")
        self._links = {}
        self._waiting_for_pipe = set()
        self._commands = {}
        self._finished = deque()
        self._forgotten = {}
        self._kept_bytes = 0
        self._running = {}
        self._reading = {}
        self._lingering = deque()
        self._quiet_channels = []
        self._environment, self._home = _user_environment()

    def run(self):
        """Serve until the process is killed."""
        self._listener.setblocking(False)
        self._watch(self._listener, self._accept)
        self._watch(_child_signals(), self._reap)
        while True:
            for key, events in self._selector.select(HOUSEKEEPING_S):
                key.data(key.fileobj, events)
            for link in list(self._links.values()):
                self._pump(link)
            self._forget_finished()

    def _watch(self, fileobj, callback, events=selectors.EVENT_READ):
        self._selector.register(fileobj, events, callback)

    # --- links ---------------------------------------------------------------------------------

    def _accept(self, listener, _events):
        try:
            carrier, _ = listener.accept()
        except OSError:
            return
        credentials = carrier.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        _pid, uid, _gid = struct.unpack("3i", credentials)
        if uid != os.getuid():
            carrier.close()
            return
        carrier.setblocking(False)
        self._watch(carrier, self._take_descriptors)

    def _take_descriptors(self, carrier, _events):
        """A carrier hands over its stdin and stdout (SCM_RIGHTS, unix(7)), or has gone."""
        self._selector.unregister(carrier)
        room = array.array("i", [0, 0])
        received = array.array("i")
        try:
            _, ancillary, _, _ = carrier.recvmsg(1, socket.CMSG_SPACE(room.itemsize * 2))
        except OSError:
            ancillary = []
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received.frombytes(data[: len(data) - len(data) % received.itemsize])
        if len(received) != 2:
            for fd in received:
                os.close(fd)
            carrier.close()
            return
        link = Link(received[0], received[1], carrier)
        self._links[link.read_fd] = link
        self._watch(link.read_fd, self._receive)
        hello = {
            "protocol": frames.PROTOCOL,
            "daemon": self._identity,
            "pid": os.getpid(),
            "running": len(self._running),
        }
        link.send(frames.encode_json(frames.HELLO, 0, hello))

    def _receive(self, fd, _events):
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
                self._resume_reading(reader.command)
        elif kind == frames.CLOSE:
            reader = link.channels.get(channel)
            link.remove(channel)
            if reader is not None:
                self._resume_reading(reader.command)
        elif kind == frames.CONTROL:
            reader = link.channels.get(channel)
            if reader is not None and frames.decode_json(payload).get("do") == "kill":
                reader.command.kill()
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
            self._resume_reading(reader.command)
        waiting = link.write_fd in self._waiting_for_pipe
        if blocked and not waiting:
            self._watch(link.write_fd, lambda fd, events: None, selectors.EVENT_WRITE)
            self._waiting_for_pipe.add(link.write_fd)
        elif waiting and not blocked:
            self._selector.unregister(link.write_fd)
            self._waiting_for_pipe.discard(link.write_fd)

    def _drop(self, link):
        """Forget a link. Commands that it followed run on into their logs."""
        if self._links.pop(link.read_fd, None) is None:
            return
        self._selector.unregister(link.read_fd)
        if link.write_fd in self._waiting_for_pipe:
            self._selector.unregister(link.write_fd)
            self._waiting_for_pipe.discard(link.write_fd)
        followed = [reader.command for reader in link.channels.values()]
        self._quiet_channels = [wait for wait in self._quiet_channels if wait[0] is not link]
        link.close()
        for command in followed:
            self._resume_reading(command)

    # --- channels ------------------------------------------------------------------------------

    def _open(self, link, channel, message):
        operation = message.get("op")
        if operation == "run":
            self._run(link, channel, message)
        elif operation == "quiet":
            self._quiet_channels.append((link, channel))
            self._tell_quiet()
        elif operation == "running":
            event = {"event": "running", "running": len(self._running)}
            link.send(frames.encode_json(frames.EVENT, channel, event))
        else:
            self._refuse(link, channel, "unknown_operation", "no operation %r" % (operation,))

    def _refuse(self, link, channel, code, detail):
        event = {"event": "refused", "code": code, "detail": detail}
        link.send(frames.encode_json(frames.EVENT, channel, event))

    def _run(self, link, channel, message):
        """Start a command, or go on reading one: the same key never runs twice."""
        try:
            key = str(message["key"])
            text = str(message["command"])
            offsets = [int(offset) for offset in message.get("offsets", (0, 0))]
            cap = int(message["cap"])
            credit = int(message["credit"])
            follow = bool(message.get("follow", False))
        except (KeyError, TypeError, ValueError) as error:
            self._refuse(link, channel, "bad_request", repr(error))
            return
        command = self._commands.get(key)
        if command is None:
            if key in self._forgotten:
                self._refuse(link, channel, "forgotten", "it ended too long ago")
                return
            if len(self._running) >= MAX_RUNNING:
                self._refuse(link, channel, "too_many_commands", "%d run" % MAX_RUNNING)
                return
            command = self._start(key, message.get("request_id"), text)
        reader = Reader(link, channel, command, follow, cap, offsets, credit)
        command.readers.append(reader)
        link.add(reader)

    def _start(self, key, request_id, text):
        command = Command(key, request_id, text)
        self._commands[key] = command
        command.start(self._environment, self._home if os.path.isdir(self._home) else "/")
        if command.finished:
            self._finished.append(command)
        else:
            self._running[command.pid] = command
            for fd in command.pipes:
                self._reading[fd] = command
                self._watch(fd, self._read_output)
        return command

    def _tell_quiet(self):
        if self._running:
            return
        for link, channel in self._quiet_channels:
            link.send(frames.encode_json(frames.EVENT, channel, {"event": "quiet"}))
        self._quiet_channels = []

    # --- processes -----------------------------------------------------------------------------

    def _read_output(self, fd, _events):
        command = self._reading.get(fd)
        if command is None:
            return
        if not command.readable(fd):
            self._close_pipe(fd)
            return
        if not command.finished:
            self._wake_readers(command)
            if not command.wants_input():
                # Held back: with nobody reading the pipe, the command blocks in write(2).
                for pipe in list(command.pipes):
                    if self._reading.pop(pipe, None) is not None:
                        self._selector.unregister(pipe)

    def _resume_reading(self, command):
        if command.finished or not command.wants_input():
            return
        for fd in command.pipes:
            if fd not in self._reading:
                self._reading[fd] = command
                self._watch(fd, self._read_output)

    def _wake_readers(self, command):
        for reader in command.readers:
            reader.link.wake(reader)

    def _close_pipe(self, fd):
        command = self._reading.pop(fd, None)
        if command is not None:
            self._selector.unregister(fd)
            command.pipes.pop(fd, None)
            os.close(fd)

    def _reap(self, wakeup, _events):
        """Collect every child that has exited (SIGCHLD may stand for several)."""
        try:
            while wakeup.recv(4096):
                pass
        except OSError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except OSError:
                break
            if pid == 0:
                break
            command = self._running.pop(pid, None)
            if command is not None:
                command.exited(status)
                self._finished.append(command)
                self._kept_bytes += command.kept
                self._wake_readers(command)
                self._linger(command)
        self._tell_quiet()

    def _linger(self, command):
        """Keep emptying pipes that children in the background hold, so that they do not die of
        SIGPIPE; what they write now belongs to no result and is dropped."""
        for fd in list(command.pipes):
            if fd not in self._reading:
                self._reading[fd] = command
                self._watch(fd, self._read_output)
            self._lingering.append((fd, command))
        while len(self._lingering) > MAX_LINGERING:
            fd, owner = self._lingering.popleft()
            if self._reading.get(fd) is owner:
                self._close_pipe(fd)

    def _forget_finished(self):
        """Drop finished commands, oldest first: too old, too many or too large together.

        A reader keeps its command, and those that finished after it, until it has been served.
        """
        while self._finished and not self._finished[0].readers:
            oldest = self._finished[0]
            if (
                len(self._finished) <= RETAIN_COMMANDS
                and self._kept_bytes <= RETAIN_BYTES
                and time.monotonic() - oldest.finished_at <= RETAIN_S
            ):
                break
            self._finished.popleft()
            self._kept_bytes -= oldest.kept
            del self._commands[oldest.key]
            self._forgotten[oldest.key] = True
            if len(self._forgotten) > REMEMBERED_KEYS:
                del self._forgotten[next(iter(self._forgotten))]


def _child_signals():
    """A socket that becomes readable when a child exits."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return reading


def _user_environment():
    """(environment, home directory) that commands start with."""
    environment = dict(os.environ)
    try:
        import pwd

        entry = pwd.getpwuid(os.getuid())
        home, name = entry.pw_dir, entry.pw_name
        environment["HOME"] = home
        environment.setdefault("SHELL", entry.pw_shell or "/bin/sh")
    except (ImportError, KeyError):
        home, name = environment.get("HOME", "/"), str(os.getuid())
    environment.setdefault("USER", name)
    environment.setdefault("LOGNAME", name)
    return environment, home if os.path.isdir(home) else "/"


def serve(listener):
    """Run the daemon on a listening socket; never returns."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Daemon(listener).run()
