"""Which TCP ports are listened on, and by which process (proc(5), `net/tcp`)."""

import os
import socket
import struct

LISTEN = "0A"

MOST = 1000
"""Ports that are told."""

MOST_LOOKED_AT = 20000
"""Descriptors of processes, for each is a call of the kernel's."""

ENGINES_OWN = "127.0.0.11"
"""Where Docker answers for names. It listens in the sandbox's network, but is no part of it."""

_TABLES = (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6))


def listeners(directory):
    """(port, address, inode) of each socket that listens in the network of `directory`, which is
    `/proc/<pid>/net`. Those of a family that the kernel does not have are none."""
    found = []
    for name, family in _TABLES:
        try:
            with open(os.path.join(directory, name)) as table:
                lines = table.read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) < 10 or fields[3] != LISTEN:
                continue
            address, _, port = fields[1].partition(":")
            shown = _address(family, address)
            if shown != ENGINES_OWN:
                found.append((int(port, 16), shown, fields[9]))
    return found[:MOST]


def _address(family, text):
    """The kernel writes words of 32 bits, each in the machine's own order."""
    words = (int(text[at : at + 8], 16) for at in range(0, len(text), 8))
    return socket.inet_ntop(family, b"".join(struct.pack("=I", word) for word in words))


def ports():
    """What listens here, as [{"port", "addresses", "process"}], by port. `process` is None where
    it is none of this user's."""
    found, owners = {}, {}
    for port, address, inode in listeners("/proc/self/net"):
        entry = found.setdefault(port, {"port": port, "addresses": [], "process": None})
        if address not in entry["addresses"]:
            entry["addresses"].append(address)
        owners["socket:[%s]" % inode] = entry
    _find_processes(owners)
    return [found[port] for port in sorted(found)]


def _find_processes(owners):
    """Note the process of each socket: the oldest one that has it, as it is the parent."""
    left = MOST_LOOKED_AT
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            descriptors = os.listdir("/proc/%d/fd" % pid)
        except OSError:
            continue  # it has gone, or is somebody else's
        for descriptor in descriptors:
            left -= 1
            if left < 0:
                return
            try:
                entry = owners.get(os.readlink("/proc/%d/fd/%s" % (pid, descriptor)))
            except OSError:
                continue
            if entry is not None and entry["process"] is None:
                entry["process"] = _process(pid)


def _process(pid):
    return {
        "pid": pid,
        "name": _read(pid, "comm").rstrip("\n")[:64],
        "command": _read(pid, "cmdline").rstrip("\0").replace("\0", " ")[:1024],
    }


def _read(pid, name):
    try:
        with open("/proc/%d/%s" % (pid, name), "rb") as file:
            return file.read(4096).decode("utf-8", "replace")
    except OSError:
        return ""
