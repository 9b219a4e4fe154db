"""Which operations there are, and what becomes of one that cannot be carried out."""

from gateway.protocol import frames

from ..links.channel import Channel


class Refused(Exception):
    """An operation that cannot be carried out, with a code for the gateway."""

    def __init__(self, code, detail):
        super().__init__(detail)
        self.code = code


class OtherUser(Refused):
    """Somebody else than the agent's own user was asked for."""

    def __init__(self, user):
        super().__init__("other_user", "this agent starts nothing as %r" % (user,))


class Operations:
    """Carries out what OPENs ask for.

    `operations` are functions by name. Each gets the channel and the OPEN's message; it answers, or
    gives the channel's `Use` back, which goes on. What it raises of Refused, KeyError, TypeError
    and ValueError is an answer.
    """

    def __init__(self, operations):
        self._operations = operations

    def open(self, link, number, payload):
        """An OPEN has come. Raises FrameError."""
        message = frames.decode_open(payload)
        channel = Channel(link, number, _credit_of(message))
        try:
            operation = self._operations.get(message.get("op"))
            if operation is None:
                raise Refused("unknown_operation", "no operation %r" % (message.get("op"),))
            channel.use = operation(channel, message)
        except Refused as refused:
            channel.refuse(refused.code, str(refused))
        except (KeyError, TypeError, ValueError) as error:
            channel.refuse("bad_request", repr(error))
        if channel.use is not None:
            link.add(channel)


def _credit_of(message):
    try:
        size, count = message.pop("credit")
        return int(size), int(count)
    except (KeyError, TypeError, ValueError):
        raise frames.FrameError("a channel without its credit") from None
