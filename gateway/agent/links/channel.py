"""One channel of a link: what its use sends and gets, within credit."""

from gateway.protocol import frames
from gateway.protocol.credit import UPWARDS, Flow


class Use:
    """What is done on a channel. These are the answers of one that does none of it."""

    done = False
    """Whether nothing more will be sent, so that the channel can be forgotten."""

    def produce(self):
        """The next frame to send, made by the channel, or None while there is nothing that may be
        sent. It is asked again after `Channel.wake`."""
        return

    def advanced(self):
        """Something that was produced has been sent."""

    def received(self, stream, offset, data):
        """Bytes have come. Credit for them is given back by `Channel.grant`. Raises FrameError
        where none belong."""
        raise frames.FrameError("data on a channel that takes none")

    def ended(self, stream, offset):
        """A stream that comes has ended, at this offset."""
        raise frames.FrameError("the end of a stream on a channel that takes none")

    def closed(self):
        """The channel is gone: done, not wanted any more, or its link was lost."""


class Channel:
    """`credit` is (bytes, frames) that each stream to the gateway begins with."""

    def __init__(self, link, number, credit):
        self.number = number
        self.use = None
        self._link = link
        self._outward = Flow(*credit)
        self._inward = Flow(*UPWARDS)

    # --- to the gateway --------------------------------------------------------------------------

    def tell(self, **event):
        """Send an EVENT. Only for answers: what a use produces waits for its turn."""
        self._link.send(self.event(event))

    def refuse(self, code, detail):
        """Say that this cannot be done."""
        self.tell(event="refused", code=code, detail=detail)

    def event(self, event):
        """An EVENT, for `Use.produce`."""
        return frames.encode_json(frames.EVENT, self.number, event)

    def room(self, stream):
        """How many bytes of a stream may be sent now."""
        return min(self._outward.of(stream).room, frames.MAX_CHUNK)

    def data(self, stream, offset, data):
        """DATA, for `Use.produce`: what there is `room` for. Without data the stream ends."""
        self._outward.passed(stream, len(data))
        return frames.encode_data(self.number, stream, offset, data)

    def wake(self):
        """The use may have something to send."""
        self._link.wake(self)

    # --- from the gateway ------------------------------------------------------------------------

    def grant(self, stream, size, count=1):
        """Let the gateway send so much more of a stream."""
        self._inward.of(stream).add(size, count)
        self._link.send(frames.encode_credit(self.number, stream, size, count))

    def granted(self, stream, size, count):
        """The gateway takes so much more of a stream."""
        self._outward.of(stream).add(size, count)
        self.wake()

    def take(self, stream, offset, data):
        """DATA has come. Raises FrameError."""
        self._inward.passed(stream, len(data))
        if data:
            self.use.received(stream, offset, data)
        else:
            self.use.ended(stream, offset)

    def close(self):
        """Forget the channel: nothing is sent any more, and what still comes is dropped."""
        self._link.remove(self)
