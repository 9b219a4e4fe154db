"""A kernel as it sees itself: a fork of the warm interpreter that runs what it is told."""

import array
import json
import os
import signal
import socket
import struct
import sys
import threading
import traceback

from .records import failure, record

KEPT = 3
"""The descriptor of the socket to the parent, once all others are closed."""

HEAD = struct.Struct("!cI")
KILLED_FIRST = 800
"""Of oom_score_adj (proc(5)), as of commands: the agent and who keeps the kernels have 500."""


class Control:
    """The socket to the parent. Whoever sends a record waits until it was taken, with what was
    written before it."""

    def __init__(self, connection):
        self._socket = connection
        self._pid = os.getpid()
        self._turn = threading.RLock()
        self._busy = False
        self._exchanging = False
        self._interrupted = False
        self._owes_end = False
        signal.signal(signal.SIGINT, self._on_interrupt)

    @property
    def is_own(self):
        """False in what the code has forked, which has the descriptors as well."""
        return os.getpid() == self._pid

    def _on_interrupt(self, _number, _frame):
        """KeyboardInterrupt to what runs; not to what is between, and not within an exchange."""
        if self._exchanging:
            self._interrupted = True
        elif self._busy or not self.is_own:
            raise KeyboardInterrupt

    def next_request(self):
        """What is to be run, or None when the parent has gone."""
        room = socket.CMSG_SPACE(array.array("i").itemsize)
        while True:
            data, ancillary, _flags, _address = self._socket.recvmsg(1, room)
            if not data:
                return None
            for level, kind, rights in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fd = struct.unpack("i", rights[:4])[0]
                    with os.fdopen(fd, "rb") as file:
                        return json.loads(file.read().decode("utf-8"))

    def begin(self):
        """From now on an interrupt is one, and an end is owed."""
        self._interrupted = False
        self._owes_end = True
        self._busy = True

    def rest(self):
        """Nothing runs: interrupts are none any more."""
        self._busy = False

    def end(self):
        """It is over, if something was begun. What was written is told before."""
        self._busy = False
        flush()
        if self._owes_end:
            self._owes_end = False
            with self._turn:
                self._socket.sendall(HEAD.pack(b"e", 0))

    def tell(self, line):
        """Send a record, and wait until it was taken."""
        flush()
        with self._turn:
            self._exchanging = True
            try:
                self._socket.sendall(HEAD.pack(b"r", len(line)) + line)
                self._socket.recv(1)
            finally:
                self._exchanging = False
        if self._interrupted and threading.current_thread() is threading.main_thread():
            self._interrupted = False
            raise KeyboardInterrupt


def flush():
    """What Python has kept of output goes to the pipes."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001 - the code may have put anything there
            pass


def become(interpreter, control, pipes, cwd):
    """Never returns. Runs in the fork."""
    os.setpgid(0, 0)
    _take_descriptors(control, pipes)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    _write("/proc/self/oom_score_adj", str(KILLED_FIRST))
    _write("/proc/self/comm", "python3")
    _open_streams()
    try:
        os.chdir(cwd)
    except OSError:
        pass  # it was removed; whoever runs code there finds out
    os.environ["PWD"] = cwd
    told = Control(socket.socket(fileno=KEPT))
    shell = interpreter.awake(told)
    for name in [name for name in sys.modules if name.split(".")[0] == "gateway"]:
        del sys.modules[name]  # they are none of the code's
    while True:
        try:
            request = told.next_request()
            if request is None:
                os._exit(0)
            _run(shell, told, request)
        except KeyboardInterrupt:
            pass  # it came too late for what it was meant for
        finally:
            told.end()


def _run(shell, told, request):
    env = request["env"]
    before = {name: os.environ.get(name) for name in env}
    try:
        told.begin()
        os.environ.update(env)
        told.tell(record("begin", execution_count=shell.execution_count))
        shell.run_cell(request["code"], store_history=True)
        told.rest()
    except KeyboardInterrupt:
        told.rest()
        told.tell(failure("KeyboardInterrupt", ""))
    except BaseException as error:  # noqa: BLE001 - what IPython itself could not deal with
        told.rest()
        told.tell(failure(type(error).__name__, str(error), traceback.format_exc()))
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _take_descriptors(control, pipes):
    """0 to 3 are /dev/null, the two pipes and the socket; there are no others."""
    null = os.open(os.devnull, os.O_RDONLY)
    high = [os.dup(fd) for fd in (null, *pipes, control)]
    # Above 3, so that none is overwritten before its turn.
    while min(high) <= KEPT:
        high = [os.dup(fd) if fd <= KEPT else fd for fd in high]
    for number, fd in enumerate(high):
        os.dup2(fd, number, inheritable=number < KEPT)
    for fd in [int(name) for name in os.listdir("/proc/self/fd")]:
        if fd > KEPT:
            try:
                os.close(fd)
            except OSError:
                pass  # that of the list itself


def _open_streams():
    """Of this process, in the place of those of the warm interpreter."""
    streams = [os.fdopen(0, encoding="utf-8")]
    for fd in (1, 2):
        text = os.fdopen(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
        streams.append(text)
    for name, stream in zip(("stdin", "stdout", "stderr"), streams):
        setattr(sys, name, stream)
        setattr(sys, "__%s__" % name, stream)


def _write(path, text):
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError:
        pass  # not every kernel lets it be changed
