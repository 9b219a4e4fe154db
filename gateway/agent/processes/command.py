"""One command: what was asked for, what it wrote, how it ended."""

import base64
import errno
import os
import signal
import time

from gateway.protocol import streams

from .output import BLOCK, OutputLog, bytes_in_pipe

PIPE_BYTES = 64 * 1024
"""What the kernel may still hold of a pipe when its process has exited (pipe(7))."""

TIMED_OUT = 124

OWN_BYTES = 4096
"""What a command takes apart from text and output: 2,700 bytes were measured, ids of usual length.
"""


class Start:
    """How a command was to be started, from the message that asked for it; as it is told again."""

    __slots__ = ("argv", "cwd", "env", "kills", "size", "tag", "terminal")

    def __init__(self, message):
        self.argv = message.get("argv")
        self.env = message.get("env") or {}
        self.cwd = message.get("cwd")
        self.tag = message.get("tag")
        self.terminal = bool(message.get("tty"))
        self.kills = bool(message.get("kill"))
        """Whether the end of its time is a KILL at once."""
        words = [*(self.argv or ()), *self.env, *self.env.values(), self.cwd or "", self.tag or ""]
        self.size = sum(len(word) for word in words)


class Command:
    """A command from its request until its output is forgotten.

    The loop that owns it calls `readable` when one of its outputs is, and one of `exited` and
    `failed` when it has come to its end. `finished` turns true once and never back.
    """

    def __init__(self, key, request_id, text, meta, head_bytes, tail_bytes, start=None):
        self.key = key
        self.request_id = request_id
        self.text = text
        self.meta = meta
        """What the gateway wants to know again when somebody attaches. Not looked at here."""
        self.mark = key
        """What its processes carry in their environment (`process.MARKER`)."""
        self.start = start or Start({})
        self.session = None
        self.counts = True
        """Whether the sandbox is busy while this runs."""
        self.input = None
        """(bytes to write to stdin at once, whether it ends then), or None."""
        self.process = None
        self.stdin = None
        self.pid = None
        self.started_at = None
        self.ended_at = None
        self.start_ticks = None
        self.returncode = None
        self.failure = None
        self.timed_out = False
        self.signal = None
        """The number of the signal that ended it, or None."""
        self.fatal_signal = None
        """The last signal that was sent to it and that ends it, as far as it could be seen."""
        self.session_ended = False
        self.stopped_by = None
        """The signal that ends it although its session's shell may see another, or None."""
        self.finished = False
        self.delivered = False
        """Whether a reader has had all of it, to its end."""
        self.delivered_to = [0, 0]
        """Offsets of stdout and stderr up to which some client has had the output, as gateways that
        know have said."""
        self.finished_at = None
        self.readers = []
        self._tail_bytes = tail_bytes
        self._logs = {
            streams.STDOUT: OutputLog(head_bytes, tail_bytes),
            streams.STDERR: OutputLog(head_bytes, tail_bytes),
        }
        self.logs = tuple(self._logs.items())

    def began(self, process):
        """Its process runs."""
        self.process = process
        self.pid = process.pid
        self.started_at = time.time()

    def wants_input(self):
        """Whether its outputs may be read: not while a following reader is too far behind.

        Nobody following, it runs on into the log, and the log forgets.
        """
        for reader in self.readers:
            if reader.follow:
                for stream, log in self.logs:
                    if reader.backlog(stream, log.size) > self._tail_bytes - BLOCK - PIPE_BYTES:
                        return False
        return True

    def readable(self, fd):
        """Take what the descriptor holds, at most one block. False when it is at its end."""
        try:
            data = os.read(fd, BLOCK)
        except OSError as error:
            # EIO: nobody has the terminal open any more.
            return error.errno in (errno.EAGAIN, errno.EINTR)
        if not data:
            return False
        if not self.finished:
            self._logs[self.process.outputs[fd]].append(data)
        return True

    def exited(self, status):
        """The process was reaped with this wait status (waitpid(2)).

        What it left in the pipes is drained, no more: a child in the background that keeps a
        pipe open, or goes on writing, does not hold the result back.
        """
        if os.WIFSIGNALED(status):
            self.signal = os.WTERMSIG(status)
            self.ended(128 + self.signal)
        else:
            self.ended(self._honest(os.WEXITSTATUS(status)))

    def _honest(self, code):
        """The exit code, unless a signal was sent that the process did nothing about: if it was on
        its last way out then, it did not get there by itself for all that anybody knows."""
        if self.fatal_signal is not None and (code == 0 or self.fatal_signal == signal.SIGKILL):
            self.signal = int(self.fatal_signal)
            return 128 + self.fatal_signal
        return code

    def ended(self, returncode, last_words=(b"", b"")):
        """It has come to its end with a shell's return code; see `exited`.

        `last_words` are added to stdout and stderr, where something is to be said of its end.
        """
        for fd, stream in list(self.process.outputs.items()):
            left = max(bytes_in_pipe(fd), 1 if self.process.terminal else 0)
            while left > 0:
                before = self._logs[stream].size
                self.readable(fd)
                got = self._logs[stream].size - before
                if not got:
                    break
                left -= got
        for (_stream, log), words in zip(self.logs, last_words):
            if words:
                log.append(words)
        self.returncode = TIMED_OUT if self.timed_out else returncode
        self._finish()

    def failed(self, why, returncode):
        """It could not be started."""
        self.failure = why
        self.returncode = returncode
        self._finish()

    def _finish(self):
        self.ended_at = time.time()
        self.finished = True
        self.finished_at = time.monotonic()

    def exit_event(self):
        """The payload of the EVENT that ends the command."""
        event = {
            "event": "exit",
            "at": self.ended_at,
            "returncode": self.returncode,
            "stdout": self._logs[streams.STDOUT].size,
            "stderr": self._logs[streams.STDERR].size,
        }
        if self.failure is not None:
            event["failure"] = self.failure
        if self.signal is not None:
            event["signal"] = self.signal
        if self.timed_out:
            event["timed_out"] = True
        if self.session_ended:
            event["session_ended"] = True
        return event

    def has_delivered(self, offsets, instead_of):
        """A client has had the output up to these offsets. Where only it had come so far, to
        `instead_of`, it may also take that back: it was gone before it had read all of it."""
        for n, (_stream, log) in enumerate(self.logs):
            offset, now = min(offsets[n], log.size), self.delivered_to[n]
            self.delivered_to[n] = offset if now == instead_of[n] else max(offset, now)

    @property
    def terminal(self):
        """Whether it was started on a terminal."""
        return self.start.terminal

    def summary(self):
        """The command in a list."""
        return {
            "request_id": self.request_id,
            "command": self.text[:200],
            "status": "finished" if self.finished else "running",
            "pid": self.pid,
            "started_at": self.started_at,
            "returncode": self.returncode,
            "session": self.session,
            "stdout": self._logs[streams.STDOUT].size,
            "stderr": self._logs[streams.STDERR].size,
        }

    def last_words(self, size):
        """The summary, with the key, the checkpoint that was taken before it, and the last `size`
        bytes of each stream."""
        said = self.summary()
        said["key"] = self.key
        said["checkpoint"] = (self.meta or {}).get("checkpoint")
        for name, (_stream, log) in zip(("output", "error"), self.logs):
            said[name] = base64.b64encode(log.last(size)).decode("ascii")
        return said

    def shed(self, size):
        """Drop up to about `size` bytes of kept output that no following reader still needs.

        The bytes dropped.
        """
        dropped = 0
        for stream, log in self.logs:
            needed = [r.position(stream) for r in self.readers if r.follow]
            dropped += log.shed(size - dropped, min([*needed, log.size]))
        return dropped

    @property
    def kept(self):
        """Bytes held in memory: output, the text, which is noted three times, and the rest."""
        kept = sum(log.kept for _, log in self.logs)
        return kept + 3 * len(self.text) + self.start.size + OWN_BYTES
