"""Watches that outlive the request that began them: the sandbox keeps what they have seen."""

from __future__ import annotations

from gateway.errors import ProtocolBroken
from gateway.files.entries import Entry, text_of
from gateway.files.service import Files, packed
from gateway.files.watching import WINDOW_BYTES, events_of
from gateway.use.place import Place

LONGEST_NAME = 64


class KeptWatches:
    """A sandbox keeps a bounded number of them, also over a restart of the gateway, and ends those
    that nobody asks for an hour (`gateway.agent.files.kept_watches`)."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def keep(self, place: Place, path: bytes, *, recursive: bool, detailed: bool) -> str:
        """Begin to watch a directory, as `Files.watch_plainly`; the watch's name. Raises
        TooManyWatches."""
        done = self._files.links.ask(
            place, "keep_watch", path=packed(path), recursive=recursive, details=detailed
        )
        name = done.get("watch")
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isalnum():
            raise ProtocolBroken("a watch without a name")
        return name

    def events(self, place: Place, name: str) -> tuple[str, list[Entry]]:
        """Where the watch is, and what it has seen since this was last asked. Raises
        WatchNotFound."""
        with (
            self._files.links.using(place),
            self._files.held(place, WINDOW_BYTES),
            self._files.links.open(place, "kept_events", WINDOW_BYTES, watch=name) as exchange,
        ):
            path: str = text_of("path", exchange.event().get("path"), None)["path"]
            told: list[Entry] = []
            while frame := exchange.data():
                told += events_of(frame)
                if len(told) > MOST_EVENTS:
                    raise ProtocolBroken("more events than a sandbox keeps")
            exchange.finished()
            return path, told

    def forget(self, place: Place, name: str) -> None:
        """End it. Raises WatchNotFound."""
        self._files.links.ask(place, "forget_watch", watch=name)


MOST_EVENTS = 20_000
