"""One connection to a gateway: frames in, frames out, and whose turn it is to send."""

import errno
import os
from collections import deque

from gateway.protocol import frames

READ_BYTES = 256 * 1024

OUT_BYTES = 128 * 1024
"""How much is encoded ahead. Small, so that a flood delays another command's answer little."""


class LinkClosed(Exception):
    """The gateway went away or broke the format."""


class Link:
    """The two descriptors a carrier handed over, and the channels that are open on them.

    `carrier` is the carrier's socket: it waits there until the link closes it.
    """

    def __init__(self, read_fd, write_fd, carrier):
        self.read_fd = read_fd
        self.write_fd = write_fd
        self.carrier = carrier
        self.channels = {}
        self._decoder = frames.Decoder()
        self._out = bytearray()
        self._turns = deque()
        self._advanced = []
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)

    def receive(self):
        """The frames that have arrived. Raises LinkClosed."""
        try:
            piece = os.read(self.read_fd, READ_BYTES)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EINTR):
                return []
            raise LinkClosed() from None
        if not piece:
            raise LinkClosed()
        try:
            return self._decoder.feed(piece)
        except frames.FrameError:
            raise LinkClosed() from None

    def send(self, frame):
        """Queue a frame that is not output (bounded by the number of requests)."""
        self._out += frame

    def add(self, channel):
        """Keep a channel, whose use has something to send or to get."""
        self.channels[channel.number] = channel
        self._turns.append(channel)

    def remove(self, channel):
        """Forget a channel."""
        if self.channels.get(channel.number) is not channel:
            return
        del self.channels[channel.number]
        if channel in self._turns:
            self._turns.remove(channel)
        channel.use.closed()

    def wake(self, channel):
        """The channel's use may have something to send."""
        if channel.number in self.channels and channel not in self._turns:
            self._turns.append(channel)

    def pump(self):
        """Send as much as the pipe takes, channel by channel, a frame each in turn.

        True while something is left that waits for the pipe. Raises LinkClosed.
        """
        while True:
            self._fill()
            if not self._out:
                return False
            try:
                sent = os.write(self.write_fd, self._out)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EINTR):
                    return True
                raise LinkClosed() from None
            del self._out[:sent]

    def _fill(self):
        while self._turns and len(self._out) < OUT_BYTES:
            channel = self._turns.popleft()
            use = channel.use
            frame = use.produce()
            if frame is not None:
                self._out += frame
                self._advanced.append(use)
            if use.done:
                self.remove(channel)
            elif frame is not None:
                self._turns.append(channel)

    def advanced(self):
        """Tell the uses that were sent something since the last call."""
        advanced, self._advanced = self._advanced, []
        for use in advanced:
            use.advanced()

    def close(self):
        """Free the descriptors; commands go on without this link."""
        for channel in list(self.channels.values()):
            self.remove(channel)
        self._turns.clear()
        for fd in (self.read_fd, self.write_fd):
            try:
                os.close(fd)
            except OSError:
                pass
        self.carrier.close()
