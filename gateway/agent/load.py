"""Make the agent of its modules' code, and let it serve.

Runs by itself, before there is a package: as a program, or within `entry`.
"""


def received(fd):
    """(name, code) of each module, from the process that compiles them. What they import takes as
    long to load as that takes, so it is loaded first."""
    import marshal
    import os

    for name in ("json", "pty", "selectors", "subprocess"):
        __import__(name)
    with os.fdopen(fd, "rb") as file:
        return marshal.loads(file.read())


def load(modules, listener_fd, up_fd, environment, name):
    """Never returns. `modules` are (name, code) pairs in the order of their imports, named from
    `gateway` on.

    A byte is written to `up_fd`, if there is one, when the daemon is about to serve.
    `environment` is what the container gives to commands, `name` what ps shows.
    """
    import os
    import socket
    import sys
    import types

    try:
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        for fd in range(3, 64):  # those of the way here
            if fd not in (listener_fd, up_fd):
                try:
                    os.close(fd)
                except OSError:
                    pass
        for fd in (listener_fd, up_fd):
            if fd is not None:
                os.set_inheritable(fd, False)
        try:
            with open("/proc/self/comm", "w") as file:
                file.write(name)
        except OSError:
            pass  # not every kernel lets it be changed
        for module_name, code in modules:
            full_name = "gateway." + module_name
            packages = full_name.split(".")[:-1]
            for depth in range(1, len(packages) + 1):
                package_name = ".".join(packages[:depth])
                if package_name not in sys.modules:
                    package = types.ModuleType(package_name)
                    package.__path__ = []
                    sys.modules[package_name] = package
            module = types.ModuleType(full_name)
            module.__package__ = ".".join(packages)
            sys.modules[full_name] = module
            exec(code, module.__dict__)
        if up_fd is not None:
            os.write(up_fd, b"\0")
            os.close(up_fd)
        listener = socket.socket(fileno=listener_fd)
        sys.modules["gateway.agent.daemon"].serve(listener, environment)
    finally:
        os._exit(1)
