# First thing to run inside the sandbox, started by the gateway over docker exec as
#
#     python3 -S -E -c 'BOOTSTRAP' NAME
#
# with the sources on stdin (`gateway.link.bundle` writes them). The first one to come binds the
# abstract socket NAME (unix(7)) and becomes the daemon's parent; every one then connects to it,
# hands over its own stdin and stdout, and waits. No byte of the link passes through here, unless
# the kernel lets no descriptor be handed over: then each is carried.
#
# `rest` is what follows this text on stdin: the other modules, read in any case so that stdin
# stands at the first byte of the link.
import os
import socket
import sys


def start_daemon(listener, modules):
    """Fork twice: the daemon must be nobody's child here, so that PID 1 reaps it."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    os.chdir("/")
    import types

    package = types.ModuleType("agent")
    package.__path__ = []
    sys.modules["agent"] = package
    try:
        for name, source in modules:
            module = types.ModuleType("agent." + name)
            module.__package__ = "agent"
            sys.modules["agent." + name] = module
            exec(compile(source, "agent/%s.py" % name, "exec"), module.__dict__)
        sys.modules["agent.daemon"].serve(listener)
    finally:
        os._exit(1)


def hand_over(name):
    """Give stdin and stdout to the daemon and stay until it lets go of them."""
    import array

    carrier = socket.socket(socket.AF_UNIX)
    carrier.connect("\0" + name)
    descriptors = array.array("i", [0, 1])
    try:
        carrier.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
    except OSError:
        # ETOOMANYREFS (unix(7)): what is in flight is counted per user of the whole host, and
        # another sandbox with the same user may hold all of it.
        carry(carrier)
        return
    # The daemon's copies must be the only ones: the stream ends when it closes them.
    os.close(0)
    os.close(1)
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


def main(name, rest):
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
    hand_over(name)


main(sys.argv[1], globals()["rest"])
