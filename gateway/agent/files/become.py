"""What the agent's fork does first to become the process that serves files."""

import os
import signal
import sys
import types

NAME = "sbxgwf"
"""What ps shows of it."""


def become(listener, program, home):
    """Never returns. Nothing of the agent stays open here."""
    signal.set_wakeup_fd(-1)
    os.setsid()
    for fd in [int(name) for name in os.listdir("/proc/self/fd")]:
        if fd > 2 and fd != listener.fileno():
            try:
                os.close(fd)
            except OSError:
                pass  # that of the list itself
    try:
        with open("/proc/self/comm", "w") as file:
            file.write(NAME)
    except OSError:
        pass  # not every kernel lets it be changed
    module = None
    while program:
        head, program = program.split(b"\n", 1)
        name, size = head.decode("ascii").split()
        source, program = program[: int(size)], program[int(size) :]
        module = types.ModuleType("gateway." + name)
        module.__package__ = "gateway." + name.rpartition(".")[0]
        sys.modules[module.__name__] = module
        exec(compile(source, "%s.py" % name.replace(".", "/"), "exec"), module.__dict__)
    module.serve(listener, os.fsencode(home))
