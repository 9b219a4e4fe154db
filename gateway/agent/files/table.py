"""The operations on files, by name. Each is given its channel and the OPEN's message."""

from . import (
    bulk,
    changing,
    in_place,
    kept_watches,
    listing,
    packing,
    reading,
    unpacking,
    watching,
    writing,
)

OPERATIONS = {
    "stat": reading.look,
    "read": reading.read,
    "write": writing.write,
    "write_many": writing.write_many,
    "overwrite": in_place.overwrite,
    "overwrite_many": in_place.overwrite_many,
    "mkdir": changing.make_directory,
    "delete": changing.remove,
    "move": changing.move,
    "copy": changing.copy,
    "bulk_read": bulk.give,
    "bulk_write": bulk.take,
    "discard": changing.discard,
    "list": listing.list_directory,
    "pack": packing.pack,
    "unpack": unpacking.unpack,
    "watch": watching.watch,
    "watch_plainly": watching.watch_plainly,
    "keep_watch": kept_watches.keep,
    "kept_events": kept_watches.read,
    "forget_watch": kept_watches.forget,
}

BY_READER = ("bulk_write",)
"""Those that the link's reader itself carries out: they read what comes on it, raw."""

UNBOUNDED = ("watch", "watch_plainly")
"""Those that go on until they are closed."""
