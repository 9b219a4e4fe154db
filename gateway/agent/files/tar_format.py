"""Members of tar archives (POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar's long names)."""

import struct

BLOCK = 512

FILE = b"0"
HARD_LINK = b"1"
SYMLINK = b"2"
DIRECTORY = b"5"
LONG_LINK = b"K"
LONG_NAME = b"L"
PAX = b"x"
PAX_GLOBAL = b"g"
_FILES = (FILE, b"\0", b"7")

_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s183s")


class BadArchive(Exception):
    """It is no archive, or one that is not unpacked here."""


class Member:
    """What a header says. `kind` is one of FILE, HARD_LINK, SYMLINK and DIRECTORY."""

    def __init__(self, name, kind, size=0, mode=0o644, mtime=0, target=b""):
        self.name = name
        self.kind = kind
        self.size = size
        self.mode = mode
        self.mtime = mtime
        self.target = target


def header(member, uid=0, gid=0):
    """A member's header, with what goes before it when its names are long."""
    before = b""
    if len(member.name) > 100:
        before += _long(LONG_NAME, member.name)
    if len(member.target) > 100:
        before += _long(LONG_LINK, member.target)
    return before + _block(member, uid, gid)


def padding(size):
    """What fills the last block of so many bytes."""
    return b"\0" * (-size % BLOCK)


def _long(kind, name):
    data = name + b"\0"
    return _block(Member(b"././@LongLink", kind, len(data)), 0, 0) + data + padding(len(data))


def _block(member, uid, gid):
    fields = [
        member.name[:100],
        b"%07o\0" % (member.mode & 0o7777),
        _number(uid, 8),
        _number(gid, 8),
        _number(member.size, 12),
        _number(max(0, int(member.mtime)), 12),
        b" " * 8,
        member.kind,
        member.target[:100],
        b"ustar  \0",
        b"",
        b"",
        b"",
    ]
    fields[6] = b"%06o\0 " % sum(_HEADER.pack(*fields))
    return _HEADER.pack(*fields)


def _number(value, size):
    """Octal, or where that is too small as GNU tar writes it: base 256."""
    if value < 8 ** (size - 1):
        return b"%0*o\0" % (size - 1, value)
    return b"\x80" + value.to_bytes(size - 1, "big")


def members(source):
    """The members, one after the other. After each, `size` bytes of a file and its padding must be
    taken from `source`, which has `exactly(size)`. Raises BadArchive."""
    name = target = None
    pax = {}
    while True:
        block = source.exactly(BLOCK)
        if not block.strip(b"\0"):
            return
        member = _member(block)
        if member.kind in (LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL):
            if member.size > 1024 * 1024:
                raise BadArchive("a name of %d bytes" % member.size)
            data = source.exactly(member.size + len(padding(member.size)))[: member.size]
            if member.kind == LONG_NAME:
                name = data.rstrip(b"\0")
            elif member.kind == LONG_LINK:
                target = data.rstrip(b"\0")
            elif member.kind == PAX:
                pax = _records(data)
            continue
        name, target = pax.get(b"path", name), pax.get(b"linkpath", target)
        if any(key.startswith(b"GNU.sparse") for key in pax):
            raise BadArchive("a sparse file")
        if name is not None:
            member.name = name
        if target is not None:
            member.target = target
        try:
            if b"size" in pax:
                member.size = int(pax[b"size"])
            if b"mtime" in pax:
                member.mtime = float(pax[b"mtime"])
        except ValueError:
            raise BadArchive("a broken number") from None
        _judge(member)
        name = target = None
        pax = {}
        yield member


def _judge(member):
    if member.kind in _FILES:
        member.kind = DIRECTORY if member.name.endswith(b"/") else FILE
    if member.kind not in (FILE, HARD_LINK, SYMLINK, DIRECTORY):
        raise BadArchive("a device, a FIFO or another special member")
    if member.kind != FILE:
        member.size = 0
    if member.size < 0 or not -(2**60) < member.mtime < 2**60:
        raise BadArchive("a broken number")


def _member(block):
    fields = _HEADER.unpack(block)
    said = _value(fields[6])
    plain = block[:148] + b" " * 8 + block[156:]
    signed = sum(plain) - 256 * sum(byte > 127 for byte in plain)
    if said not in (sum(plain), signed):
        raise BadArchive("no tar archive, or a broken one")
    name = fields[0].split(b"\0", 1)[0]
    if block[257:263] == b"ustar\0":
        prefix = block[345:500].split(b"\0", 1)[0]
        if prefix:
            name = prefix + b"/" + name
    return Member(
        name,
        fields[7],
        _value(fields[4]),
        _value(fields[1]) & 0o7777,
        _value(fields[5]),
        fields[8].split(b"\0", 1)[0],
    )


def _value(field):
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise BadArchive("no tar archive, or a broken one") from None


def _records(data):
    """Of a pax header: each is "length key=value" and a line end."""
    found = {}
    while data:
        length, space, _ = data.partition(b" ")
        try:
            size = int(length)
        except ValueError:
            raise BadArchive("a broken header") from None
        record = data[len(length) + 1 : size - 1]
        if not space or size <= len(length) or size > len(data):
            raise BadArchive("a broken header")
        key, _, value = record.partition(b"=")
        found[key] = value
        data = data[size:]
    return found
