"""The event loop: descriptors that are ready, and times that have come. One thread, `selectors`."""

import heapq
import itertools
import selectors
import time

IDLE_S = 10.0

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


class Loop:
    """Calls back when a descriptor is ready or a time has come."""

    def __init__(self):
        self._selector = selectors.DefaultSelector()
        self._timers = []
        self._order = itertools.count()

    def watch(self, fileobj, callback, events=READ):
        """Call `callback(fileobj)` whenever `fileobj` is ready, until `unwatch`."""
        self._selector.register(fileobj, events, callback)

    def unwatch(self, fileobj):
        """Stop watching; nothing happens if it is not watched."""
        try:
            self._selector.unregister(fileobj)
        except (KeyError, ValueError):
            pass

    def is_watched(self, fileobj):
        """Whether it is being watched."""
        try:
            return fileobj in self._selector.get_map()
        except (KeyError, ValueError):
            return False

    def after(self, seconds, callback):
        """Call `callback()` once, in so many seconds."""
        entry = (time.monotonic() + seconds, next(self._order), callback)
        heapq.heappush(self._timers, entry)

    def once(self):
        """Wait for something to happen, and let it be dealt with."""
        wait = IDLE_S
        if self._timers:
            wait = min(wait, max(0.0, self._timers[0][0] - time.monotonic()))
        for key, _events in self._selector.select(wait):
            # An earlier callback may have closed it, and its number may be another's by now.
            if self._selector.get_map().get(key.fd) is key:
                key.data(key.fileobj)
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()
