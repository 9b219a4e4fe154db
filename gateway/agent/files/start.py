"""Start the process that serves files. The agent has this much of it from the beginning."""

import os
import socket

from gateway.protocol import frames

from .. import surroundings
from ..operations.table import Refused


class FileProcess:
    """Started when the first file is asked for; it ends by itself when nobody has asked for long.

    Its program comes with the request, so that agents which never see a file need not have it.
    """

    def __init__(self, environment):
        self._environment = environment

    def table(self):
        """The operations by name."""
        return {"files": self._start}

    def _start(self, channel, message):
        """Bind the abstract socket `name`, and let a process of its own serve there."""
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind("\0" + str(message["name"]))
        except OSError:
            pass  # it is there already
        else:
            listener.listen(64)
            self._fork(listener, message[frames.BODY])
        listener.close()
        channel.tell(event="serves")

    def _fork(self, listener, program):
        try:
            if os.fork():
                return
        except OSError as error:
            raise Refused("too_many_commands", "no process for files: %s" % error) from None
        try:
            head, program = program.split(b"\n", 1)
            size = int(head.split()[1])
            space = {}
            exec(compile(program[:size], "become.py", "exec"), space)
            home = surroundings.of_commands(self._environment)[1]
            space["become"](listener, program[size:], home)
        finally:
            os._exit(1)
