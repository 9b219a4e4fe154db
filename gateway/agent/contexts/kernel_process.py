"""A kernel as its parent sees it: forked, told what to run, listened to, ended."""

import array
import codecs
import os
import signal
import socket
import struct

from . import kernel
from .records import output

READ_BYTES = 64 * 1024

MOST_DRAINED = 1024 * 1024
"""Bytes that are taken at once from what writes without end."""

LARGEST_RECORD = 64 * 1024 * 1024
"""Bytes. A kernel that sends more is broken: it leaves out what is larger than a quarter."""

REAP_S = 0.05

HEAD = struct.Struct("!cI")
RECORD = b"r"
END = b"e"
"""What a kernel sends: a line to be told, or that it is done."""


class KernelProcess:
    """Owns a process and the descriptors to it. `context` is told what it says.

    What the kernel writes comes through two pipes, what it shows through a socket, where it waits
    for an answer: so all that was written before is read before, and nothing that comes after.
    """

    def __init__(self, loop, interpreter, cwd, context):
        self._loop = loop
        self._context = context
        self._control, theirs = socket.socketpair()
        self._pipes = {}
        pairs = []
        self._closed = False
        self._paused = True
        try:
            pairs = [os.pipe(), os.pipe()]
            self.pid = os.fork()
        except OSError:
            self._control.close()
            theirs.close()
            for fd in [fd for pair in pairs for fd in pair]:
                os.close(fd)
            raise
        if self.pid == 0:
            try:
                kernel.become(interpreter, theirs.detach(), [pair[1] for pair in pairs], cwd)
            finally:
                os._exit(1)
        theirs.close()
        try:
            os.setpgid(self.pid, self.pid)  # it does so too: whoever comes first
        except OSError:
            pass
        for name, (reading, writing) in zip(("stdout", "stderr"), pairs):
            os.close(writing)
            os.set_blocking(reading, False)
            self._pipes[reading] = (name, codecs.getincrementaldecoder("utf-8")("replace"))
        self._control.setblocking(False)
        self._received = bytearray()
        self.resume()

    def execute(self, request):
        """Run what `request`, as JSON, says. The kernel must be at rest. Raises OSError."""
        self.resume()
        text = os.memfd_create("code")
        try:
            with os.fdopen(os.dup(text), "wb") as file:
                file.write(request)
            os.lseek(text, 0, os.SEEK_SET)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [text]))
            self._control.sendmsg([b"x"], [rights])
        finally:
            os.close(text)

    def interrupt(self):
        """To all that it runs, as Ctrl-C on a terminal."""
        self._signal(signal.SIGINT)

    def kill(self):
        """The end is told to the context as any death is."""
        self._signal(signal.SIGKILL)

    def _signal(self, number):
        try:
            os.killpg(self.pid, number)
        except OSError:
            pass  # it has ended, and so will be what is read from it

    def pause(self):
        """Read nothing, so that it waits once the pipes are full."""
        if not self._paused:
            self._paused = True
            for fd in (self._control, *self._pipes):
                self._loop.unwatch(fd)

    def resume(self):
        """Read again. May be repeated."""
        if self._paused and not self._closed:
            self._paused = False
            self._loop.watch(self._control, self._take)
            for fd in self._pipes:
                self._loop.watch(fd, self._drain)

    def close(self):
        """Kill it and let go of it; nothing is told any more. May be repeated."""
        if self._closed:
            return
        self.pause()
        self._closed = True
        self._signal(signal.SIGKILL)
        self._control.close()
        for fd in self._pipes:
            os.close(fd)
        self._pipes = {}
        self._reap()

    def _reap(self):
        try:
            if os.waitpid(self.pid, os.WNOHANG)[0] == 0:
                self._loop.after(REAP_S, self._reap)
        except OSError:
            pass  # it was reaped

    # --- what it says ----------------------------------------------------------------------------

    def _drain(self, fd):
        """What was written, all of it. A pipe that nobody writes to any more is left alone."""
        name, decoder = self._pipes[fd]
        taken = 0
        while taken < MOST_DRAINED:
            try:
                data = os.read(fd, READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._loop.unwatch(fd)
                return
            taken += len(data)
            text = decoder.decode(data)
            if text:
                self._context.told(output(name, text))

    def _take(self, control):
        try:
            data = control.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drain_all()
            self._context.died(self._how())
            return
        received = self._received
        received += data
        while len(received) >= HEAD.size:
            kind, size = HEAD.unpack_from(received)
            if size > LARGEST_RECORD:
                self.kill()
                return
            end = HEAD.size + size
            if len(received) < end:
                return
            payload = bytes(received[HEAD.size : end])
            del received[:end]
            self._drain_all()
            if kind == RECORD:
                self._context.told(payload)
                self._answer()
            else:
                self._context.finished()

    def _answer(self):
        try:
            self._control.send(b"a")
        except OSError:
            pass  # it has died, or does not read: what is read from it tells

    def _drain_all(self):
        for fd in self._pipes:
            self._drain(fd)

    def _how(self):
        """In words, how it has ended."""
        self._signal(signal.SIGKILL)  # if it has only closed its socket
        try:
            _pid, status = os.waitpid(self.pid, 0)
        except OSError:
            return "the kernel has ended"
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            hint = ", as when memory runs out" if number == signal.SIGKILL else ""
            return "the kernel was ended by signal %d%s" % (number, hint)
        return "the kernel has ended with %d" % os.WEXITSTATUS(status)
