"""A channel that is a TCP connection to a server in the sandbox."""

import errno
import socket

from gateway.protocol import frames, streams

from ..links.channel import Use
from ..loop import READ, WRITE
from .listening import ports

HOSTS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
"""In the order in which they are tried."""

_UNDER_WAY = (errno.EINPROGRESS, errno.EAGAIN, errno.EINTR)


class PortConnection(Use):
    """What comes on stream STDIN goes to the server, and credit for it comes back when it has
    taken it; what the server sends goes out on stream STDOUT. The end of a stream shuts down that
    direction only. `connected` is told first, or the channel is refused.
    """

    def __init__(self, loop, channel, port):
        self._loop = loop
        self._channel = channel
        self._port = port
        self._hosts = list(HOSTS)
        self._socket = None
        self._connected = False
        self._waiting = bytearray()
        """What the server has not taken yet: no more than there was credit for."""
        self._frames = 0
        """In which that came, and what was taken since credit was given for any."""
        self._no_more = False
        self._sent = 0
        self._ended = False
        self._connect()

    # --- connecting ------------------------------------------------------------------------------

    def _connect(self):
        """Begin with the next address. The channel is refused when there is none left."""
        self._leave()
        while self._hosts:
            family, host = self._hosts.pop(0)
            try:
                self._socket = socket.socket(family, socket.SOCK_STREAM)
                self._socket.setblocking(False)
                begun = self._socket.connect_ex((host, self._port))
            except OSError:
                self._leave()
                continue
            if begun == 0:
                self._establish()
                return
            if begun in _UNDER_WAY:
                self._loop.watch(self._socket, self._look, WRITE)
                return
            self._leave()
        self.done = True
        self._channel.refuse("port_closed", "nothing listens on port %d" % self._port)
        self._channel.close()

    def _look(self, _socket):
        """The attempt has come to its end."""
        self._loop.unwatch(self._socket)
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._connect()
        else:
            self._establish()

    def _establish(self):
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connected = True
        self._channel.tell(event="connected")
        self._flush()
        self._channel.wake()

    # --- to the server ---------------------------------------------------------------------------

    def received(self, stream, offset, data):
        """The next bytes for the server."""
        if stream != streams.STDIN:
            raise frames.FrameError("data on stream %d" % stream)
        self._waiting += data
        self._frames += 1
        self._flush()
        self._watch()

    def ended(self, stream, offset):
        """The server is sent no more."""
        self._no_more = True
        self._flush()
        self._watch()

    def _flush(self):
        """Send what the server takes now, and give credit for it."""
        if not self._connected or self._socket is None:
            return
        taken = 0
        try:
            while self._waiting:
                size = self._socket.send(self._waiting)
                del self._waiting[:size]
                taken += size
        except OSError as error:
            if error.errno not in _UNDER_WAY:
                taken += len(self._waiting)  # the server has gone; reading finds its end
                self._waiting.clear()
        if taken:
            count = 0
            if not self._waiting:
                count, self._frames = self._frames, 0
            self._channel.grant(streams.STDIN, taken, count)
        if self._no_more and not self._waiting:
            self._no_more = False
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has gone

    # --- from the server -------------------------------------------------------------------------

    def produce(self):
        """The next bytes that the server has sent."""
        if not self._connected or self._socket is None:
            return None
        room = self._channel.room(streams.STDOUT)
        data = None
        if not self._ended and room > 0:
            try:
                data = self._socket.recv(min(room, frames.MAX_CHUNK))
            except OSError as error:
                if error.errno not in _UNDER_WAY:
                    data = b""
        if data is None:
            self._watch()
            return None
        self._ended = not data
        offset, self._sent = self._sent, self._sent + len(data)
        return self._channel.data(streams.STDOUT, offset, data)

    def _watch(self):
        """Wait until there is something to do."""
        if not self._connected or self._socket is None:
            return
        self._loop.unwatch(self._socket)
        reading = not self._ended and self._channel.room(streams.STDOUT) > 0
        wanted = (READ if reading else 0) | (WRITE if self._waiting else 0)
        if wanted:
            self._loop.watch(self._socket, self._ready, wanted)

    def _ready(self, _socket):
        self._loop.unwatch(self._socket)
        self._flush()
        self._channel.wake()

    def closed(self):
        """Nobody uses the connection any more."""
        self.done = True
        self._leave()

    def _leave(self):
        if self._socket is not None:
            self._loop.unwatch(self._socket)
            self._socket.close()
            self._socket = None


class PortOperations:
    """What may be asked of servers in the sandbox."""

    def __init__(self, loop):
        self._loop = loop

    def table(self):
        """The operations by name."""
        return {"connect": self._connect, "listening": self._listening}

    def _connect(self, channel, message):
        port = int(message["port"])
        if not 0 < port < 65536:
            raise ValueError("no port %d" % port)
        return PortConnection(self._loop, channel, port)

    def _listening(self, channel, message):
        channel.tell(event="listening", ports=ports())
