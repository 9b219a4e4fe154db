"""The operations on files, by name. Each is given its channel and the OPEN's message."""

from . import changing, listing, packing, reading, unpacking, watching, writing

OPERATIONS = {
    "stat": reading.look,
    "read": reading.read,
    "write": writing.write,
    "write_many": writing.write_many,
    "mkdir": changing.make_directory,
    "delete": changing.remove,
    "move": changing.move,
    "copy": changing.copy,
    "discard": changing.discard,
    "list": listing.list_directory,
    "pack": packing.pack,
    "unpack": unpacking.unpack,
    "watch": watching.watch,
}

UNBOUNDED = ("watch",)
"""Those that go on until they are closed."""
