# First thing to run inside the sandbox, started by the gateway over docker exec as
#
#     python3 -I -S -X utf8 -c 'BOOTSTRAP' NAME OLDER…
#
# with the sources on stdin (`gateway.link.bundle` writes them). The first one to come binds the
# abstract socket NAME (unix(7)) and starts the daemon, unless an older one listens; every one then
# connects to it, hands over its own stdin and stdout, and waits. No byte of the link passes through
# here, unless the kernel lets no descriptor be handed over: then each is carried.
#
# `rest` is what follows this text on stdin: the other modules, read in any case so that stdin
# stands at the first byte of the link.
import os
import socket
import struct
import sys

DAEMON = "sbxgwd"
CARRIER = "sbxgwl"
"""What ps shows of the two. `pkill python`, a word of everyday work, must not end the agent."""

LOAD = "agent.load"
"""The module that makes modules of the others."""

START_S = 20.0
"""How long the daemon's program may take to start before it is run without one of its own."""


def loader_of(program):
    """The dynamic loader that an ELF program asks for (elf(5), PT_INTERP), or None."""
    with open(program, "rb") as file:
        head = file.read(4096)
        if head[:4] != b"\x7fELF":
            return None
        order = "<" if head[5] == 1 else ">"
        if head[4] == 2:
            (table,) = struct.unpack_from(order + "Q", head, 32)
            size, count = struct.unpack_from(order + "HH", head, 54)
            offset, length, number = 8, 32, "Q"
        else:
            (table,) = struct.unpack_from(order + "I", head, 28)
            size, count = struct.unpack_from(order + "HH", head, 42)
            offset, length, number = 4, 16, "I"
        for at in range(table, table + size * count, size):
            if struct.unpack_from(order + "I", head, at)[0] == 3:
                file.seek(struct.unpack_from(order + number, head, at + offset)[0])
                return file.read(struct.unpack_from(order + number, head, at + length)[0])[:-1]
    return None


def become(program, name, arguments, environment):
    """Go on as `program`, under another name; comes back only if that cannot be.

    Run by its loader from a descriptor, the program's path is nowhere in /proc/pid/cmdline, and
    /proc/pid/exe is the loader (ld.so(8)). A copy of python3 would cost 7 MB per sandbox.
    """
    try:
        loader = loader_of(program)
        if loader is not None:
            fd = os.open(program, os.O_RDONLY)
            os.set_inheritable(fd, True)
            os.chdir("/proc/self/fd")
            os.execve(loader, [name, "./%d" % fd, *arguments], environment)
    except (OSError, struct.error):
        pass


def start_daemon(listener, modules):
    """Fork twice: the daemon must be nobody's child here, so that PID 1 reaps it."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.close(null)
        environment = dict(os.environ)
        if not start_under_another_name(listener, modules, environment):
            space = {}
            exec(compile(dict(modules)[LOAD], "agent/load.py", "exec"), space)
            space["load"](compiled(modules), listener.fileno(), None, environment, DAEMON)
    finally:
        os._exit(1)


def compiled(modules):
    """(name, code) of each."""
    return [
        (name, compile(source, "%s.py" % name.replace(".", "/"), "exec"))
        for name, source in modules
        if name != LOAD
    ]


def start_under_another_name(listener, modules, environment):
    """Start the daemon as a program of its own. Whether it runs.

    It has nothing of the container's environment but what the image's Python may need. Its modules
    are compiled here meanwhile: that takes as long as its start.
    """
    ready, up = os.pipe()
    reading, writing = os.pipe()
    code_in, code_out = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(reading, 0)
        for fd in (listener.fileno(), up, code_in):
            os.set_inheritable(fd, True)
        own = {"PYTHONHOME": "%s:%s" % (sys.base_prefix, sys.base_exec_prefix), "PYTHONUTF8": "1"}
        if "LD_LIBRARY_PATH" in environment:
            own["LD_LIBRARY_PATH"] = environment["LD_LIBRARY_PATH"]
        become(os.path.realpath(sys.executable), DAEMON, ["-S", "-"], own)
        os._exit(1)
    for fd in (up, reading, code_in):
        os.close(fd)
    program = "import sys\ndel sys.path[0]\n%s\nload(received(%d), %d, %d, %r, %r)\n" % (
        dict(modules)[LOAD].decode("utf-8"),
        code_in,
        listener.fileno(),
        up,
        environment,
        DAEMON,
    )
    import marshal

    try:
        with os.fdopen(writing, "wb") as file:
            file.write(program.encode("ascii", "backslashreplace"))
        with os.fdopen(code_out, "wb") as file:
            file.write(marshal.dumps(compiled(modules)))
    except OSError:
        pass  # it has ended: `ready` says so
    import select

    if select.select([ready], [], [], START_S)[0] and os.read(ready, 1):
        return True
    os.kill(child, 9)
    os.waitpid(child, 0)
    os.close(ready)
    return False


def connected(name):
    """A connection to the daemon that listens there, or None."""
    carrier = socket.socket(socket.AF_UNIX)
    try:
        carrier.connect("\0" + name)
    except OSError:
        carrier.close()
        return None
    return carrier


def hand_over(carrier):
    """Give stdin and stdout to the daemon and stay until it lets go of them."""
    import array

    descriptors = array.array("i", [0, 1])
    try:
        carrier.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
    except OSError:
        # ETOOMANYREFS (unix(7)): what is in flight is counted per user of the whole host, and
        # another sandbox with the same user may hold all of it.
        carry(carrier)
        return
    # The daemon's copies must be the only ones: the stream ends when it closes them.
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    os.dup2(carrier.fileno(), 0)
    # A shell, a tenth of this one's size, waits for the end of its input as well.
    become(os.path.realpath("/bin/sh"), CARRIER, [], {})
    carrier.recv(1)


def carry(link):
    """Be the link's pipe: to the daemon what comes on stdin, and to stdout what it sends."""
    import select

    link.sendall(b"L")
    while True:
        ready = select.select([0, link], [], [])[0]
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                return
            link.sendall(data)
        if link in ready:
            data = link.recv(65536)
            if not data:
                return
            while data:
                data = data[os.write(1, data) :]


def start(name, rest):
    """Be the one that starts the daemon, unless another is."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind("\0" + name)
    except OSError:
        listener.close()  # somebody was first
    else:
        listener.listen(64)
        modules = []
        while rest:
            head, rest = rest.split(b"\n", 1)
            module, size = head.decode("ascii").split()
            modules.append((module, rest[: int(size)]))
            rest = rest[int(size) :]
        start_daemon(listener, modules)
        listener.close()


def main(names, rest):
    """`names` are those of this agent's socket and of older agents' that may still run."""
    for name in names:
        carrier = connected(name)
        if carrier is not None:
            break
    else:
        if not rest:
            sys.exit(3)  # this one is not started here
        start(names[0], rest)
        carrier = socket.socket(socket.AF_UNIX)
        carrier.connect("\0" + names[0])
    hand_over(carrier)


main(sys.argv[1:], globals()["rest"])
