"""The process that serves files: its links, and a thread for each operation."""

import array
import binascii
import gc
import os
import queue
import select
import socket
import struct
import sys
import threading
import time

from gateway.protocol import frames

from . import kept_watches, paths
from .table import BY_READER, OPERATIONS, UNBOUNDED
from .wire import Closed, Link

IDLE_S = 300.0
"""Without a link for so long, and without a watch that is kept, it ends."""

MOST_THREADS = 24
"""Operations at a time; more wait. One whose disk hangs keeps its thread."""

MOST_UNBOUNDED = 16
"""Operations that go on until they are closed, which have threads of their own."""

IS_LINK = b"L"
STACK_BYTES = 512 * 1024


class Server:
    """Owns all links and threads."""

    def __init__(self, listener):
        self._listener = listener
        self._links = 0
        self._jobs = queue.SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._unbounded = 0
        self._count = threading.Lock()
        self._identity = binascii.hexlify(os.urandom(16)).decode("ascii")

    def run(self):
        """Accept links until there has been none for long."""
        quiet_since = time.monotonic()
        while True:
            if select.select([self._listener], [], [], IDLE_S / 10)[0]:
                carrier, _ = self._listener.accept()
                with self._count:
                    self._links += 1
                if not self._spawn(self._serve, carrier):
                    carrier.close()
                    with self._count:
                        self._links -= 1
            if self._links or kept_watches.are_any():
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > IDLE_S:
                os._exit(0)

    def _spawn(self, work, *arguments):
        """Whether there is a thread for it: a sandbox may have as many processes as it may."""
        try:
            threading.Thread(target=work, args=arguments, daemon=True).start()
        except RuntimeError:
            return False
        return True

    def _serve(self, carrier):
        try:
            link = self._link_of(carrier)
            if link is None:
                carrier.close()
                return
            hello = {
                "protocol": frames.PROTOCOL,
                "daemon": self._identity,
                "pid": os.getpid(),
                "running": 0,
            }
            try:
                link.send(frames.encode_json(frames.HELLO, 0, hello))
            except Closed:
                pass  # `serve` sees the same
            link.serve()
        finally:
            with self._count:
                self._links -= 1

    def _link_of(self, carrier):
        """Descriptors that are handed over, or the link itself, as at the agent's own socket."""
        credentials = carrier.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("3i", credentials)[1] not in (os.getuid(), 0):
            return None
        received = array.array("i")
        try:
            carrier.settimeout(IDLE_S)
            said, ancillary, _, _ = carrier.recvmsg(1, socket.CMSG_SPACE(received.itemsize * 2))
            carrier.settimeout(None)
        except OSError:
            return None
        if said == IS_LINK and not ancillary:
            write_fd = os.dup(carrier.fileno())
            return Link(carrier.detach(), write_fd, carrier, self._opened)
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received.frombytes(data[: len(data) - len(data) % received.itemsize])
        if len(received) != 2:
            for fd in received:
                os.close(fd)
            return None
        return Link(received[0], received[1], carrier, self._opened)

    # --- operations ------------------------------------------------------------------------------

    def _opened(self, channel, message):
        """Let a thread do it. Called by a link's reader."""
        link = channel.link
        if message.get("op") in BY_READER:
            self._do(link, channel, message)
            return
        if message.get("op") in UNBOUNDED:
            with self._count:
                fits = self._unbounded < MOST_UNBOUNDED
                self._unbounded += fits
            if fits and self._spawn(self._do_unbounded, link, channel, message):
                return
            with self._count:
                self._unbounded -= fits
            channel.refuse("too_many_watches", "%d at a time" % MOST_UNBOUNDED)
            link.forget(channel)
            return
        with self._count:
            more = self._idle <= 0 and self._threads < MOST_THREADS
            self._threads += more
            self._idle -= 1
        self._jobs.put((link, channel, message))
        if more and not self._spawn(self._work):
            with self._count:
                self._threads -= 1

    def _work(self):
        with self._count:
            self._idle += 1
        while True:
            link, channel, message = self._jobs.get()
            self._do(link, channel, message)
            with self._count:
                self._idle += 1

    def _do_unbounded(self, link, channel, message):
        try:
            self._do(link, channel, message)
        finally:
            with self._count:
                self._unbounded -= 1

    def _do(self, link, channel, message):
        try:
            operation = OPERATIONS.get(message.get("op"))
            if operation is None:
                channel.refuse("unknown_operation", "no operation %r" % (message.get("op"),))
            else:
                operation(channel, message)
        except Closed:
            pass
        except paths.Refused as error:
            _refuse(channel, error.code, str(error))
        except OSError as error:
            _refuse(channel, paths.code_of(error), error.strerror or "")
        except (KeyError, TypeError, ValueError) as error:
            _refuse(channel, "bad_request", repr(error)[:200])
        except Exception as error:  # noqa: BLE001 - the top of a thread: the gateway logs it
            _refuse(channel, "failed", repr(error)[:200])
        finally:
            link.forget(channel)


def _refuse(channel, code, detail):
    try:
        channel.refuse(code, detail)
    except Closed:
        pass


def serve(listener, home):
    """Never returns. Relative paths begin at `home`."""
    paths.HOME = home
    os.umask(0o022)
    gc.freeze()
    sys.setswitchinterval(0.001)
    threading.stack_size(STACK_BYTES)
    listener.setblocking(True)
    Server(listener).run()
