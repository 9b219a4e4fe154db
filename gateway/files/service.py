"""Files of a sandbox: every surface's way to them."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, Protocol, runtime_checkable

import gevent

from gateway.errors import GatewayError, LinkLost
from gateway.files.entries import Entry, entry_of
from gateway.files.exchange import Exchange
from gateway.files.file_links import TRIES, FileLinks
from gateway.files.listing import Listing
from gateway.files.reading import FIRST_BYTES, WINDOW_BYTES, Reading
from gateway.files.watching import WINDOW_BYTES as WATCHED_BYTES
from gateway.files.watching import Watching
from gateway.link.bulk import Bulk
from gateway.link.users import ONLY_THE_USER, User, Users
from gateway.process.byte_budget import ByteBudget
from gateway.protocol import frames
from gateway.use.place import Place, PlaceOfUser

INLINE_BYTES = 64 * 1024
"""What is written goes along with the question, up to here: one way there and one back."""

UPLOAD_BYTES = 1024 * 1024
"""That the gateway holds of a larger upload: counted as what its client has sent."""

LONG_S = 60.0
"""For what may take long in one step: the end of a large file's writing."""

DISCARD_S = 5.0

Metadata = Mapping[str, str]
"""Of a file, by keys: printable ASCII."""

Tags = Sequence[str] | Literal["*"]
"""ETags, or any."""


@dataclass(frozen=True)
class Conditions:
    """What must hold before something is done: `only_if` the file has one of these ETags, and
    `unless` it has one of those. "*" is whatever is there."""

    only_if: Tags | None = None
    unless: Tags | None = None

    def fields(self) -> dict[str, Any]:
        """For the sandbox."""
        named = {"only_if": self.only_if, "unless": self.unless}
        return {
            name: tags if isinstance(tags, str) else list(tags)
            for name, tags in named.items()
            if tags is not None
        }


@dataclass(frozen=True)
class Wanted:
    """What of a file is asked for. `part` is (first, last) byte; without the first it is how many
    of the end. `part_if` is the ETag without which the whole is meant. `since`: nothing if it was
    not changed after these epoch seconds."""

    conditions: Conditions = field(default_factory=Conditions)
    head: bool = False
    part: tuple[int | None, int | None] | None = None
    part_if: str | None = None
    since: float | None = None


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may be unpacked to, and how long that may take."""

    size: int = 8 * 1024**3
    """Bytes, as they are in the archive when it is not packed."""
    entries: int = 250_000
    within_s: float = 1800.0


@runtime_checkable
class OfASocket(Protocol):
    """Content of a known size that comes on a socket, and need not be read here."""

    @property
    def size(self) -> int: ...

    def splice_to(self, target: Any) -> None:
        """All of it. Raises BadRequest when it ends too early, and OSError."""


class Files:
    """One per process. Paths are bytes, absolute or from the home directory on. Every method may
    raise PathError, FeatureMissing, a SandboxFault and what dialling does."""

    def __init__(
        self,
        links: FileLinks,
        held_output: ByteBudget,
        held_input: ByteBudget,
        archives: ArchiveLimits | None = None,
        users: Users = ONLY_THE_USER,
    ) -> None:
        self._users = users
        self.links = links
        self._archives = archives or ArchiveLimits()
        self._held_output = held_output
        self._held_input = held_input

    def held(self, place: Place, size: int) -> AbstractContextManager[object]:
        """Within the block, count so many bytes against the share of whoever asked. Raises
        TooMuchUnread, GatewayFull."""
        return self._held_output.hold(place.owner, size)

    def place(self, place: Place, user: User) -> Place:
        """Where files are read and written as this user. Raises UserUnavailable."""
        if user == "user":
            return place
        address = self._users.address(place.container_id, user)
        return PlaceOfUser(place.sandbox_id, address, place.owner)

    # --- looking ---------------------------------------------------------------------------------

    def stat(self, place: Place, path: bytes, *, detailed: bool = False) -> Entry:
        """What is at a path; links are not followed."""
        told = self.links.ask_again(place, "stat", path=packed(path), details=detailed)
        return entry_of(told.get("stat"))

    @contextmanager
    def read(self, place: Place, path: bytes, wanted: Wanted) -> Iterator[Reading]:
        """A file, from the first byte that is asked for on. Raises BadRange, Changed."""
        fields: dict[str, Any] = {"path": packed(path), **wanted.conditions.fields()}
        if wanted.head:
            fields["head"] = True
        if wanted.part is not None:
            fields |= {"range": list(wanted.part), "range_if": wanted.part_if}
        if wanted.since is not None:
            fields["since"] = wanted.since
        with ExitStack() as held:
            held.enter_context(self.links.using(place))

            def hold(size: int) -> None:
                held.enter_context(self._held_output.hold(place.owner, size))

            def claim(token: object, at: int) -> Bulk | None:
                return self.links.bulk(place, "bulk_read", token, at=at)

            yield self._begun(place, fields, held, hold, claim)

    def _begun(
        self, place: Place, fields: dict[str, Any], held: ExitStack, hold: Any, claim: Any
    ) -> Reading:
        for left in reversed(range(TRIES)):
            exchange = self.links.open(place, "read", FIRST_BYTES, **fields)
            held.callback(exchange.close)
            try:
                return Reading(exchange, hold, claim)
            except LinkLost:
                if not left:
                    raise
        raise AssertionError

    @contextmanager
    def listed(
        self, place: Place, path: bytes, *, depth: int, limit: int | None, after: bytes | None
    ) -> Iterator[Listing]:
        """What is in a directory, sorted by path."""
        fields: dict[str, Any] = {"path": packed(path), "depth": depth, "limit": limit}
        if after is not None:
            fields["after"] = packed(after)
        with self._listing(place, fields) as listing:
            yield listing

    @contextmanager
    def tree(self, place: Place, path: bytes, *, depth: int) -> Iterator[Listing]:
        """The same with details, each directory before what is in it."""
        fields = {"path": packed(path), "depth": depth, "order": "tree", "details": True}
        with self._listing(place, fields) as listing:
            yield listing

    @contextmanager
    def _listing(self, place: Place, fields: dict[str, Any]) -> Iterator[Listing]:
        with ExitStack() as held:
            held.enter_context(self.links.using(place))
            held.enter_context(self._held_output.hold(place.owner, Listing.WINDOW_BYTES))
            exchange = held.enter_context(
                self.links.open(place, "list", Listing.WINDOW_BYTES, **fields)
            )
            yield Listing(exchange)

    @contextmanager
    def watch(self, place: Place, path: bytes, *, recursive: bool) -> Iterator[Watching]:
        """What happens from now on at a path or below it. Raises TooManyWatches."""
        with self._watching(place, "watch", path=packed(path), recursive=recursive) as watching:
            yield watching

    @contextmanager
    def watch_plainly(
        self, place: Place, path: bytes, *, recursive: bool, detailed: bool
    ) -> Iterator[Watching]:
        """The same of a directory, told as the kernel does: each write, and a rename as two events.
        `detailed`: with what is there then."""
        with self._watching(
            place, "watch_plainly", path=packed(path), recursive=recursive, details=detailed
        ) as watching:
            yield watching

    @contextmanager
    def _watching(self, place: Place, operation: str, **fields: Any) -> Iterator[Watching]:
        with (
            self.links.using(place),
            self._held_output.hold(place.owner, WATCHED_BYTES),
            self.links.open(place, operation, WATCHED_BYTES, **fields) as exchange,
        ):
            yield Watching(exchange)

    # --- writing ---------------------------------------------------------------------------------

    def write(
        self,
        place: Place,
        path: bytes,
        content: bytes | Iterable[bytes],
        *,
        mode: int | None = None,
        conditions: Conditions | None = None,
    ) -> tuple[Entry, bool]:
        """Write a file as a whole; what it is now, and whether there was none. Content that comes
        piece by piece is asked for when the sandbox is ready for it."""
        token = uuid.uuid4().hex
        fields: dict[str, Any] = {"path": packed(path), "token": token, "mode": mode}
        fields |= (conditions or Conditions()).fields()
        with self.links.using(place), self._no_remains(place, path, token):
            return self._written(place, "write", content, fields)

    def overwrite(
        self, place: Place, path: bytes, content: bytes | Iterable[bytes], metadata: Metadata
    ) -> tuple[Entry, bool]:
        """The same, but into the file that is there: who reads it meanwhile sees a part, and what
        breaks off leaves a part. `metadata` becomes all that the file has. Raises BadMetadata."""
        fields: dict[str, Any] = {"path": packed(path), "metadata": dict(metadata)}
        with self.links.using(place):
            return self._written(place, "overwrite", content, fields)

    def _written(
        self,
        place: Place,
        operation: str,
        content: bytes | Iterable[bytes],
        fields: dict[str, Any],
    ) -> tuple[Entry, bool]:
        if isinstance(content, bytes) and len(content) <= INLINE_BYTES:
            done = self.links.ask(place, operation, **fields | {frames.BODY: content})
        else:
            pieces: Iterable[bytes] | None
            pieces = [content] if isinstance(content, bytes) else content
            size = getattr(content, "size", None)
            with (
                self._held_input.hold(place.owner, UPLOAD_BYTES),
                self.links.open(place, operation, stream=True, size=size, **fields) as exchange,
            ):
                go = exchange.event()
                if self._was_spliced(place, go.get("bulk"), content):
                    pieces = None
                done = upload(exchange, pieces)
        return entry_of(done.get("stat")), done.get("new") is True

    def _was_spliced(self, place: Place, token: object, content: Any) -> bool:
        """Whether the content of a large upload went from its client's socket to the sandbox by
        itself. Raises BadRequest when the client left."""
        if token is None or not isinstance(content, OfASocket):
            return False
        bulk = self.links.bulk(place, "bulk_write", token, size=content.size)
        if bulk is None:
            return False
        with closing(bulk):
            try:
                content.splice_to(bulk.socket)
            except OSError:
                pass  # the sandbox takes no more, and says why on the channel
        return True

    def write_many(self, place: Place, files: Sequence[tuple[bytes, bytes]]) -> list[Entry]:
        """Write several small files, one after the other, of together at most 256 KiB. Those before
        one that is refused are written."""
        return self._many_written(place, "write_many", files, token=uuid.uuid4().hex)

    def overwrite_many(
        self, place: Place, files: Sequence[tuple[bytes, bytes]], metadata: Metadata
    ) -> list[Entry]:
        """The same, each as by `overwrite`."""
        return self._many_written(place, "overwrite_many", files, metadata=dict(metadata))

    def _many_written(
        self, place: Place, operation: str, files: Sequence[tuple[bytes, bytes]], **fields: Any
    ) -> list[Entry]:
        done = self.links.ask(
            place,
            operation,
            files=[[packed(path), len(content)] for path, content in files],
            **fields,
            **{frames.BODY: b"".join(content for _, content in files)},
        )
        stats = done.get("stats")
        return [entry_of(record) for record in stats] if isinstance(stats, list) else []

    @contextmanager
    def _no_remains(self, place: Place, path: bytes, token: str) -> Iterator[None]:
        """If the process in the sandbox was killed meanwhile, remove what it has left."""
        try:
            yield
        except LinkLost:
            parent = path.rpartition(b"/")[0] or (b"/" if path.startswith(b"/") else b".")
            for directory in (parent, path):
                try:
                    with gevent.Timeout(DISCARD_S, False):
                        self.links.ask(place, "discard", path=packed(directory), token=token)
                except GatewayError:
                    pass  # nobody is there to remove it
            raise

    # --- archives --------------------------------------------------------------------------------

    @contextmanager
    def pack(self, place: Place, path: bytes, *, gzip: bool) -> Iterator[Iterator[bytes]]:
        """A directory as a tar archive, piece by piece."""
        with ExitStack() as held:
            held.enter_context(self.links.using(place))
            held.enter_context(self._held_output.hold(place.owner, WINDOW_BYTES))
            exchange = held.enter_context(
                self.links.open(place, "pack", WINDOW_BYTES, path=packed(path), gzip=gzip)
            )
            exchange.event()
            pieces = _to_the_end(exchange)
            # What goes wrong before anything is sent shall be an answer, and not a cut connection.
            first = next(pieces, b"")
            yield chain((first,), pieces)

    def unpack(self, place: Place, path: bytes, content: Iterable[bytes]) -> tuple[Entry, bool]:
        """Unpack a tar archive, plain or as gzip, into a directory, which is made where it is
        missing; what it is then, and whether it is new. Raises BadArchive, TooLarge."""
        token = uuid.uuid4().hex
        limits = self._archives
        with (
            self.links.using(place),
            self._no_remains(place, path + b"/x", token),
            self._held_input.hold(place.owner, UPLOAD_BYTES),
            self.links.open(
                place,
                "unpack",
                path=packed(path),
                token=token,
                most=[limits.size, limits.entries, limits.within_s],
            ) as exchange,
        ):
            exchange.event()
            done = upload(exchange, content)
            return entry_of(done.get("stat")), done.get("new") is True

    # --- changing --------------------------------------------------------------------------------

    def make_directory(
        self, place: Place, path: bytes, *, parents: bool, detailed: bool = False
    ) -> tuple[Entry, bool]:
        """A directory; and whether there was none."""
        done = self.links.ask(place, "mkdir", path=packed(path), parents=parents, details=detailed)
        return entry_of(done.get("stat")), done.get("new") is True

    def delete(self, place: Place, path: bytes, *, recursive: bool) -> None:
        """Links are not followed."""
        self.links.ask(place, "delete", path=packed(path), recursive=recursive)

    def move(
        self,
        place: Place,
        source: bytes,
        target: bytes,
        *,
        overwrite: bool,
        parents: bool = False,
        detailed: bool = False,
    ) -> Entry:
        """What is there now. `parents`: missing directories are made."""
        return self._from_to(
            place, "move", source, target, overwrite, parents=parents, details=detailed
        )

    def copy(self, place: Place, source: bytes, target: bytes, *, overwrite: bool) -> Entry:
        """What is there now. A directory is copied with all that is in it."""
        return self._from_to(place, "copy", source, target, overwrite)

    def _from_to(
        self,
        place: Place,
        operation: str,
        source: bytes,
        target: bytes,
        overwrite: bool,
        **more: bool,
    ) -> Entry:
        token = uuid.uuid4().hex
        fields: dict[str, Any] = {"from": packed(source), "to": packed(target), **more}
        with self.links.using(place), self._no_remains(place, target, token):
            done = self.links.ask(place, operation, token=token, overwrite=overwrite, **fields)
            return entry_of(done.get("stat"))


def upload(exchange: Exchange, pieces: Iterable[bytes] | None) -> dict[str, Any]:
    """Send content, unless it has gone another way; what the sandbox says at the end."""
    if pieces is not None:
        for piece in pieces:
            if piece:
                exchange.send(piece)
        exchange.send(b"")
    done = exchange.event(LONG_S)
    exchange.finished()
    return done


def _to_the_end(exchange: Exchange) -> Iterator[bytes]:
    while piece := exchange.data():
        yield piece
    exchange.finished()


def packed(path: bytes) -> str:
    """A path as JSON can carry it."""
    return base64.b64encode(path).decode("ascii")
