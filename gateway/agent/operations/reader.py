"""A channel that brings a command's output by byte offset, within the credit it was given."""

from gateway.protocol import streams

from ..links.channel import Use


class Reader(Use):
    """Brings a command's output and its end to one channel of one link.

    A *following* reader gets the start, output as it is written, then the exit. A *collecting*
    reader gets the exit first, then at most `cap` bytes of each stream, its head and its tail.
    `got_on(command)` is called when the command may no longer have to be held back.
    """

    def __init__(self, channel, command, follow, cap, offsets, got_on, tell=False):
        self.command = command
        self.follow = follow
        self._channel = channel
        self._got_on = got_on
        self._cap = cap
        self._tell = tell
        self._offsets = {streams.STDOUT: offsets[0], streams.STDERR: offsets[1]}
        self._windows = None
        self._start_sent = False
        self._exit_sent = False
        self.done = False

    def wake(self):
        """The command has something new."""
        self._channel.wake()

    def advanced(self):
        """What was sent need not be waited for any more."""
        if self.follow:
            self._got_on(self.command)

    def closed(self):
        """Leave the command."""
        if self in self.command.readers:
            self.command.readers.remove(self)
        self._got_on(self.command)

    def position(self, stream):
        """Offset of the next byte this reader gets."""
        return self._offsets[stream]

    def backlog(self, stream, size):
        """Bytes of the stream that a following reader has not been sent yet."""
        return size - self._offsets[stream]

    def produce(self):
        """The next frame for the gateway, or None while there is nothing it may be sent."""
        if self.done:
            return None
        return self._follow() if self.follow else self._collect()

    def _follow(self):
        command = self.command
        if not self._start_sent:
            if command.pid is None and not command.finished:
                return None  # it waits for its session
            self._start_sent = True
            event = {
                "event": "started",
                "pid": command.pid,
                "meta": command.meta if self._tell else {},
                "terminal": command.terminal,
                "offsets": [self._offsets[streams.STDOUT], self._offsets[streams.STDERR]],
            }
            return self._channel.event(event)
        return self._next_output()

    def _collect(self):
        if not self.command.finished:
            return None
        if not self._exit_sent:
            self._open_windows()
            return self._exit()
        return self._next_output()

    def _next_output(self):
        for stream, log in self.command.logs:
            frame = self._next_piece(stream, log)
            if frame is not None:
                return frame
        if self.command.finished and self._all_sent():
            self.done = self.command.delivered = True
            if not self._exit_sent:
                return self._exit()
        return None

    def _open_windows(self):
        """Decide which ranges a collecting reader gets; a resumed one skips what it has."""
        self._windows = {}
        for stream, log in self.command.logs:
            head = self._cap // 2
            if log.size <= self._cap:
                windows = [[0, log.size]]
            else:
                windows = [[0, head], [log.first_kept(log.size - self._cap + head), log.size]]
            self._windows[stream] = windows

    def _exit(self):
        self._exit_sent = True
        event = self.command.exit_event()
        if self._windows is not None:
            event["windows"] = [self._windows[streams.STDOUT], self._windows[streams.STDERR]]
        return self._channel.event(event)

    def _end(self, stream, log, offset):
        """Where the range that holds `offset` begins for this reader, and where it ends."""
        if self._windows is None:
            return offset, log.size
        for start, end in self._windows[stream]:
            if offset < end:
                return max(offset, start), end
        return log.size, log.size

    def _next_piece(self, stream, log):
        offset, end = self._end(stream, log, self._offsets[stream])
        if offset >= end:
            return None
        kept = log.first_kept(offset)
        if kept > offset:
            self._offsets[stream] = kept
            event = {"event": "gap", "stream": stream, "from": offset, "to": kept}
            return self._channel.event(event)
        limit = min(end - offset, self._channel.room(stream))
        if limit <= 0:
            return None
        data = log.read(offset, limit)
        self._offsets[stream] = offset + len(data)
        return self._channel.data(stream, offset, data)

    def _all_sent(self):
        for stream, log in self.command.logs:
            offset, end = self._end(stream, log, self._offsets[stream])
            if offset < end:
                return False
        return True
