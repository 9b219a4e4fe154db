"""The operations on files, by name. Each is given its channel and the OPEN's message."""

from . import bulk, changing, listing, packing, reading, unpacking, watching, writing

OPERATIONS = {
    "stat": reading.look,
    "read": reading.read,
    "write": writing.write,
    "write_many": writing.write_many,
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
}

BY_READER = ("bulk_write",)
"""Those that the link's reader itself carries out: they read what comes on it, raw."""

UNBOUNDED = ("watch",)
"""Those that go on until they are closed."""
