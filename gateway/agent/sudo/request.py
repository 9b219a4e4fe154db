"""What `sudo` asks for: a length, a JSON object, and descriptors beside its first byte.

    {"argv": […], "env": {…}, "umask": 18, "user": "root", "terminals": [true, true, true],
     "size": [24, 80]}

The descriptors are its stdin, stdout and stderr and its working directory.
"""

import array
import json
import os
import pwd
import socket
import struct

MOST_BYTES = 8 * 1024 * 1024
"""More than a program can be started with (execve(2), E2BIG)."""

WITHIN_S = 10.0
DESCRIPTORS = 4
DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Of programs that root needs, which others need not have in their PATH."""


class Refused(Exception):
    """It is not done; the text says why."""


class Wanted:
    """A program to be started. `fds` are stdin, stdout and stderr, `directory` a descriptor."""

    def __init__(self, said, fds, credentials):
        self.fds, self.directory = fds[:3], fds[3]
        self.argv = [word.encode("utf-8", "surrogateescape") for word in said["argv"]]
        self.umask = int(said["umask"]) & 0o777
        self.terminals = [bool(one) for one in said["terminals"]][:3]
        self.size = [min(max(int(side), 0), 65535) for side in said["size"]][:2]
        self.account = _account(str(said["user"]))
        if not self.argv or len(self.terminals) != 3 or len(self.size) != 2:
            raise ValueError
        self.environment = _environment(said["env"], self.account, credentials)
        self.environment["SUDO_COMMAND"] = " ".join(said["argv"])[:4096]


def _account(user):
    try:
        return pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        raise Refused("unknown user %s" % user) from None


def _environment(said, account, credentials):
    """That of whoever asks, but for what says who and where one is."""
    environment = {str(name): str(value) for name, value in said.items()}
    path = [one for one in environment.get("PATH", "/usr/bin:/bin").split(":") if one]
    environment["PATH"] = ":".join(path + [one for one in DIRECTORIES if one not in path])
    environment.update(
        HOME=account.pw_dir,
        USER=account.pw_name,
        LOGNAME=account.pw_name,
        SHELL=account.pw_shell or "/bin/sh",
        SUDO_UID=str(credentials[0]),
        SUDO_GID=str(credentials[1]),
    )
    try:
        environment["SUDO_USER"] = pwd.getpwuid(credentials[0]).pw_name
    except KeyError:
        environment["SUDO_USER"] = "#%d" % credentials[0]
    return environment


def received(asking, credentials):
    """A Wanted, of whoever has these (uid, gid). Raises Refused."""
    asking.settimeout(WITHIN_S)
    found = array.array("i")
    try:
        data, ancillary, _, _ = asking.recvmsg(4, socket.CMSG_SPACE(found.itemsize * DESCRIPTORS))
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found.frombytes(content[: len(content) - len(content) % found.itemsize])
        size = struct.unpack("!I", data + _exactly(asking, 4 - len(data)))[0]
        if size > MOST_BYTES or len(found) != DESCRIPTORS:
            raise Refused("this is no request of sudo's")
        wanted = Wanted(
            json.loads(_exactly(asking, size).decode("utf-8")), list(found), credentials
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Refused("this is no request of sudo's") from None
    for fd in found:
        os.set_inheritable(fd, False)
    asking.settimeout(None)
    return wanted


def _exactly(asking, size):
    data = b""
    while len(data) < size:
        piece = asking.recv(min(size - len(data), 65536))
        if not piece:
            raise OSError("it went away")
        data += piece
    return data


def tell(asking, kind, word=""):
    """One line back: `S` it runs, `T` it has stopped, `X` it has ended, `R` it is refused."""
    try:
        asking.sendall(("%s %s\n" % (kind, word)).encode("utf-8", "replace"))
    except OSError:
        pass  # whoever asked has gone


def refuse(asking, why):
    """It is not done, and why."""
    tell(asking, "R", " ".join(why.split()))
