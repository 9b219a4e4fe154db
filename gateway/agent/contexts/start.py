"""Start the process that serves code contexts. The agent has this much of it from the beginning."""

import os
import socket

from gateway.protocol import frames

from .. import surroundings
from ..links.channel import Use
from ..operations.table import Refused

KEPT_WARM = "/usr/share/sandbox-image/contexts"
"""Images with this file are made for contexts; it names what is to be imported in advance."""

_PROGRAM = r"""
import sys
if sys.path[:1] == [""]:
    del sys.path[0]
import os, types
listener, program, ready = map(int, sys.argv[1:4])
with os.fdopen(program, "rb") as file:
    rest = file.read()
try:
    while rest:
        head, rest = rest.split(b"\n", 1)
        name, size = head.decode("ascii").split()
        source, rest = rest[: int(size)], rest[int(size) :]
        parts = ("gateway." + name).split(".")
        for depth in range(1, len(parts)):
            package = types.ModuleType(".".join(parts[:depth]))
            package.__path__ = []
            sys.modules.setdefault(package.__name__, package)
        module = types.ModuleType(".".join(parts))
        module.__package__ = ".".join(parts[:-1])
        sys.modules[module.__name__] = module
        exec(compile(source, name.replace(".", "/") + ".py", "exec"), module.__dict__)
except ImportError as error:
    os.close(listener)
    os.write(ready, ("the image runs no code: %s" % error).encode("utf-8")[:1000])
    os._exit(1)
module.serve(listener, ready)
"""
"""What the process's `python3 -c` runs. Nothing is imported from the directory it starts in."""


class ContextProcess:
    """Started when the first context is asked for, or in advance; it ends with the sandbox.

    It is a python3 of its own, with the site's packages and the user's, and not a fork of the
    agent: IPython, numpy and pandas are imported there, and every kernel is forked from it.
    """

    def __init__(self, loop, environment):
        self._loop = loop
        self._environment = environment
        self._waiting = []
        """Channels that are told when it serves, while it starts."""

    def table(self):
        """The operations by name."""
        return {"code": self._start}

    def _start(self, channel, message):
        """Have a process serve at the abstract socket `name`. With `if_kept_warm` only where the
        image is made for it."""
        if message.get("if_kept_warm") and not os.path.exists(KEPT_WARM):
            channel.tell(event="serves")
            return None
        wait = Start(self._waiting, channel)
        if len(self._waiting) > 1:
            return wait
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind("\0" + str(message["name"]))
        except OSError:
            self._waiting.remove(wait)
            channel.tell(event="serves")  # it is there already
            return None
        except BaseException:
            self._waiting.remove(wait)
            raise
        else:
            listener.listen(64)
            try:
                self._watch(self._fork(listener, message[frames.BODY]))
            except (KeyError, OSError, AttributeError) as error:
                self._waiting.remove(wait)
                raise Refused("feature_missing", "no process for code: %s" % error) from None
            return wait
        finally:
            listener.close()

    def _watch(self, ready):
        self._loop.watch(ready, self._heard)

    def _heard(self, ready):
        """It serves, or has said why it cannot, or has gone."""
        said = os.read(ready, 4096).decode("utf-8", "replace")
        self._loop.unwatch(ready)
        os.close(ready)
        for wait in list(self._waiting):
            wait.end(said)

    def _fork(self, listener, program):
        """A descriptor from which can be read how it went. Forks twice, so that PID 1 reaps it."""
        ready, up = os.pipe()
        try:
            text = os.memfd_create("contexts")
        except BaseException:
            os.close(ready)
            os.close(up)
            raise
        child = -1
        try:
            with os.fdopen(os.dup(text), "wb") as file:
                file.write(program)
            os.lseek(text, 0, os.SEEK_SET)
            child = os.fork()
            if child == 0:
                self._become(listener.fileno(), text, up)
        finally:
            if child == 0:
                os._exit(1)
            os.close(text)
            os.close(up)
            if child < 0:
                os.close(ready)
        return ready

    def _become(self, listener, text, up):
        os.setsid()
        if os.fork():
            os._exit(0)
        kept = (listener, text, up)
        for fd in [int(name) for name in os.listdir("/proc/self/fd")]:
            if fd > 2 and fd not in kept:
                try:
                    os.close(fd)
                except OSError:
                    pass  # that of the list itself
        for fd in kept:
            os.set_inheritable(fd, True)
        environment, home = surroundings.of_commands(self._environment)
        os.chdir(home if os.path.isdir(home) else "/")
        os.execvpe("python3", ["python3", "-c", _PROGRAM, *map(str, kept)], environment)


class Start(Use):
    """Somebody waits until the process serves."""

    def __init__(self, waiting, channel):
        self._waiting = waiting
        self._channel = channel
        waiting.append(self)

    def end(self, said):
        """Tell the outcome: `said` is "serves", why it cannot, or empty when it died."""
        self.done = True
        self._waiting.remove(self)
        if said == "serves":
            self._channel.tell(event="serves")
        else:
            self._channel.refuse("feature_missing", said or "the process for code has ended")
        self._channel.close()

    def closed(self):
        """Nobody waits any more."""
        if self in self._waiting:
            self._waiting.remove(self)
