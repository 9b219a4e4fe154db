"""A link whose reader is a thread, and whose channels are used by threads that may block."""

import contextlib
import os
import socket
import threading
from collections import deque

from gateway.protocol import frames
from gateway.protocol.credit import UPWARDS, Flow

READ_BYTES = 512 * 1024

MAX_PIECE = 256 * 1024
"""Bytes in one DATA frame. Four times those of commands: fewer frames make a large file quick."""

OUT = 1
IN = 0
"""The streams: to the gateway, and from it."""


class Closed(Exception):
    """The gateway does not want the answer any more, or is gone."""


class Channel:
    """One operation. Its thread sends and receives; the link's reader tells what has come."""

    def __init__(self, link, number, credit):
        self.number = number
        self.link = self._link = link
        self._outward = Flow(*credit)
        self._inward = Flow(*UPWARDS)
        self._sent = 0
        self._pieces = deque()
        self._changed = threading.Condition()
        self.closed = False
        self._on_closed = None

    # --- the operation's thread ------------------------------------------------------------------

    def tell(self, **event):
        """Send an EVENT."""
        self._link.send(self.event(event))

    def event(self, event):
        """An EVENT as a frame."""
        return frames.encode_json(frames.EVENT, self.number, event)

    def refuse(self, code, detail):
        """Say that this cannot be done, which ends the channel."""
        self.tell(event="refused", code=code, detail=detail)

    def send(self, data, *before, end=False):
        """Send bytes as credit allows, after the frames `before`, and perhaps the stream's end."""
        view = memoryview(data)
        parts = list(before)
        while view:
            piece = view[: self._room(parts)]
            with self._changed:
                self._outward.passed(OUT, len(piece))
            parts.append(frames.encode_data(self.number, OUT, self._sent, piece))
            self._sent += len(piece)
            view = view[len(piece) :]
            if view:
                self._link.send(*parts)
                parts = []
        if end:
            parts.append(frames.encode_data(self.number, OUT, self._sent, b""))
        if parts:
            self._link.send(*parts)

    def send_whole(self, data):
        """Send bytes in one frame, when there is credit for it."""
        with self._changed:
            while self._outward.of(OUT).room < len(data):
                self.check()
                self._changed.wait()
            self._outward.passed(OUT, len(data))
        self._link.send(frames.encode_data(self.number, OUT, self._sent, data))
        self._sent += len(data)

    def _room(self, parts):
        """Bytes that may be sent now; waits until there are any, and lets `parts` go before."""
        with self._changed:
            room = self._outward.of(OUT).room
        if not room and parts:
            self._link.send(*parts)
            del parts[:]
        with self._changed:
            while True:
                self.check()
                room = min(self._outward.of(OUT).room, MAX_PIECE)
                if room:
                    return room
                self._changed.wait()

    def receive(self):
        """The next bytes; b"" at the end. Gives no credit."""
        with self._changed:
            while not self._pieces:
                self.check()
                self._changed.wait()
            self.check()
            return self._pieces.popleft()

    def grant(self, size, count):
        """Let the gateway send so much more."""
        with self._changed:
            self._inward.of(IN).add(size, count)
        self._link.send(frames.encode_credit(self.number, IN, size, count))

    def check(self):
        """Raises Closed when nobody waits any more."""
        if self.closed:
            raise Closed()

    def all_came(self):
        """The end, of what came another way."""
        with self._changed:
            self._pieces.append(b"")
            self._changed.notify_all()

    def on_closed(self, call):
        """Call this when the channel is closed, also if it is already; None calls nothing."""
        with self._changed:
            self._on_closed = call
            if self.closed and call is not None:
                call()

    # --- the link's reader -----------------------------------------------------------------------

    def on_data(self, stream, offset, data):
        """Bytes or the end have come. Raises FrameError."""
        if stream != IN:
            raise frames.FrameError("data on stream %d" % stream)
        with self._changed:
            self._inward.passed(stream, len(data))
            self._pieces.append(data)
            self._changed.notify_all()

    def on_credit(self, stream, size, count):
        """More may be sent. Raises FrameError."""
        with self._changed:
            self._outward.of(stream).add(size, count)
            self._changed.notify_all()

    def on_close(self):
        """Nobody waits any more."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
            if self._on_closed is not None:
                self._on_closed()


class Link:
    """The two descriptors that lead to a gateway. `opened` is given each new channel and its
    message, and must not block."""

    def __init__(self, read_fd, write_fd, carrier, opened):
        self.read_fd = self._read_fd = read_fd
        self._write_fd = write_fd
        self._carrier = carrier
        self._opened = opened
        self._sending = threading.Lock()
        self._channels = {}
        os.set_blocking(read_fd, True)
        os.set_blocking(write_fd, True)

    def send(self, *parts):
        """Write frames whole, one after the other. Raises Closed."""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        try:
            with self._sending:
                sent = os.write(self._write_fd, data)
                while sent < len(data):
                    sent += os.write(self._write_fd, memoryview(data)[sent:])
        except OSError:
            raise Closed() from None

    @contextlib.contextmanager
    def alone(self):
        """The descriptor to write to, for raw bytes, with nobody else writing."""
        with self._sending:
            yield self._write_fd

    def end(self):
        """Nothing follows: let the gateway see the end, and the reader too."""
        try:
            socket.socket(fileno=os.dup(self._read_fd)).shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has gone, or is no socket

    def serve(self):
        """Read until the gateway is gone or breaks the format."""
        decoder = frames.Decoder()
        try:
            while True:
                piece = os.read(self._read_fd, READ_BYTES)
                if not piece:
                    return
                for kind, number, payload in decoder.feed(piece):
                    self._take(kind, number, payload)
        except (OSError, frames.FrameError):
            return
        finally:
            for channel in list(self._channels.values()):
                channel.on_close()
            self._close()

    def forget(self, channel):
        """Its operation has come to an end."""
        self._channels.pop(channel.number, None)

    def _take(self, kind, number, payload):
        channel = self._channels.get(number)
        if kind == frames.OPEN:
            message = frames.decode_open(payload)
            try:
                size, count = message.pop("credit")
                channel = Channel(self, number, (int(size), int(count)))
            except (KeyError, TypeError, ValueError):
                raise frames.FrameError("a channel without its credit") from None
            self._channels[number] = channel
            self._opened(channel, message)
        elif channel is None:
            return
        elif kind == frames.DATA:
            channel.on_data(*frames.decode_data(payload))
        elif kind == frames.CREDIT:
            channel.on_credit(*frames.decode_credit(payload))
        elif kind == frames.CLOSE:
            channel.on_close()
        else:
            raise frames.FrameError("a gateway does not send kind %d" % kind)

    def _close(self):
        """Wake who writes; then free the descriptors."""
        with self._sending:
            os.close(self._read_fd)
            os.close(self._write_fd)
            self._write_fd = -1
        self._carrier.close()
