"""Large files past the frames: over a connection of their own, which carries nothing else.

An operation that has much to send or to get offers it under a token; the gateway may claim it on
another connection, and goes on with frames otherwise.
"""

import os
import threading

from . import paths, records
from .wire import Closed

FROM_BYTES = 4 * 1024 * 1024
"""Smaller ones are not worth a connection."""

PIECE_BYTES = 1024 * 1024

_offers = {}
_lock = threading.Lock()


class Offer:
    """`fd` is to be read from, up to `end`, or with `taken`, written to. Use it in a `with`."""

    def __init__(self, fd, end, channel):
        self.fd = fd
        self.end = end
        self.channel = channel
        self.token = records.random_name()

    def __enter__(self):
        with _lock:
            _offers[self.token] = self
        return self

    def __exit__(self, *_exception):
        with _lock:
            _offers.pop(self.token, None)


def _claimed(message):
    """(offer, a descriptor that its owner does not close). Raises Refused."""
    with _lock:
        offer = _offers.pop(message["token"], None)
        if offer is None:
            raise paths.Refused("changed", "nobody offers that any more")
        return offer, os.dup(offer.fd)


def give(channel, message):
    """`bulk_read`: the bytes from `at` on, raw, after an EVENT; then nothing else."""
    offer, fd = _claimed(message)
    link, at = channel.link, int(message["at"])
    try:
        channel.tell(event="raw")
        with link.alone() as out:
            while at < offer.end:
                sent = os.sendfile(out, fd, at, min(PIECE_BYTES, offer.end - at))
                if not sent:
                    break  # it has become shorter: the gateway misses the rest
                at += sent
    finally:
        os.close(fd)
        link.end()


def take(channel, message):
    """`bulk_write`: after an EVENT, `size` raw bytes come. It is the link's reader that reads."""
    offer, fd = _claimed(message)
    left, buffer = int(message["size"]), memoryview(bytearray(PIECE_BYTES))
    try:
        channel.tell(event="raw")
        while left:
            count = os.readv(channel.link.read_fd, [buffer[: min(left, PIECE_BYTES)]])
            if not count:
                offer.channel.on_close()
                return
            left -= count
            piece = buffer[:count]
            while piece:
                piece = piece[os.write(fd, piece) :]
        offer.channel.all_came()
    except OSError as error:
        try:
            offer.channel.refuse(paths.code_of(error), error.strerror or "")
        except Closed:
            pass
        offer.channel.on_close()
    finally:
        os.close(fd)
        channel.link.end()
