"""A channel that is one execution: lines of JSON go out on it as they come."""

import json

from ..links.channel import Use
from .records import failure

OUT = 1
"""The stream to the gateway."""

HELD = 512 * 1024
"""Bytes that wait for credit; then the kernel waits."""


class Execution(Use):
    """Runs code in a context, which is interrupted when the channel is closed before its end."""

    def __init__(self, loop, channel, context, timeout_s):
        self.request = b""
        self._loop = loop
        self._channel = channel
        self._context = context
        self._timeout_s = None if timeout_s is None else float(timeout_s)
        self._lines = bytearray()
        self._sent = 0
        self._ended = False
        self._timed_out = False
        self._left = False

    def begin(self, code, environment):
        """Queue it. Raises Refused."""
        self.request = json.dumps({"code": code, "env": environment}).encode("ascii")
        self._context.add(self)
        if self._timeout_s is not None:
            self._loop.after(self._timeout_s, self._time_out)

    def _time_out(self):
        if self._ended or self._left:
            return
        why = "it took longer than %s s" % self._timeout_s
        self.told(failure("TimeoutError", why))
        self._timed_out = True
        if self._context.is_waiting(self):
            self._context.leave(self)
            self.finish()
        else:
            self._context.resume(self)
            self._context.insist(self)

    # --- the context -----------------------------------------------------------------------------

    def told(self, line):
        """The next line."""
        if self._left or self._timed_out:
            return
        self._lines += line
        if len(self._lines) >= HELD:
            self._context.pause()
        self._channel.wake()

    def finish(self):
        """There are no more lines."""
        self._ended = True
        self._channel.wake()

    def fail(self, name, why):
        """It ends with an error that is none of the code's."""
        self.told(failure(name, why))
        self.finish()

    # --- the channel -----------------------------------------------------------------------------

    def produce(self):
        """See `Use`."""
        room = self._channel.room(OUT)
        if self._lines and room > 0:
            piece = bytes(self._lines[:room])
            del self._lines[:room]
            offset, self._sent = self._sent, self._sent + len(piece)
            if len(self._lines) < HELD:
                self._context.resume(self)
            return self._channel.data(OUT, offset, piece)
        if self._ended and not self._lines:
            self.done = True
            return self._channel.data(OUT, self._sent, b"")
        return None

    def closed(self):
        """See `Use`."""
        if not self.done:
            self.done = True
            self._left = True
            self._lines.clear()
            if not self._ended:
                self._context.leave(self)
