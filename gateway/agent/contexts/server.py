"""The process that serves code contexts: its links, and what may be asked of it."""

import binascii
import gc
import os
import resource
import signal
import socket

from gateway.protocol import frames

from ..links.serving import LinkServer
from ..loop import Loop
from ..operations.table import Operations, Refused
from .context import Context
from .execution import Execution
from .warm import WarmInterpreter

NAME = "sbxgwc"
"""What ps shows of it. `pkill python`, a word of everyday work, ends kernels only."""

DEFAULT = "default"
"""The context that is there from the beginning, with a kernel that runs."""

LANGUAGE = "python"


class Server:
    """Owns the loop, the contexts and, through them, the kernels."""

    def __init__(self, listener, interpreter):
        self._loop = Loop()
        self._interpreter = interpreter
        self._home = os.getcwd()
        self._contexts = {}
        table = {
            "create_context": self._create,
            "contexts": self._list,
            "delete_context": self._delete,
            "restart_context": self._restart,
            "interrupt_context": self._interrupt,
            "execute": self._execute,
        }
        self._links = LinkServer(self._loop, listener, Operations(table))
        self._default().start()

    def run(self):
        """Serve until the process is killed."""
        while True:
            self._loop.once()
            self._links.pump()

    def _default(self):
        if DEFAULT not in self._contexts:
            self._contexts[DEFAULT] = Context(self._loop, self._interpreter, DEFAULT, self._home)
        return self._contexts[DEFAULT]

    def _of(self, message):
        """The context that is meant. The default one is there again when somebody uses it."""
        context_id = message["context"]
        if context_id == DEFAULT:
            return self._default()
        context = self._contexts.get(context_id)
        if context is None:
            raise Refused("unknown_context", "there is no such context")
        return context

    # --- operations ------------------------------------------------------------------------------

    def _create(self, channel, message):
        if len(self._contexts) >= int(message["most"]):
            raise Refused("too_many_contexts", "%d are there already" % len(self._contexts))
        cwd = os.path.join(self._home, os.path.expanduser(str(message.get("cwd") or "")))
        if not os.path.isdir(cwd):
            raise Refused("path_not_found", "there is no directory %s" % cwd[:200])
        context_id = binascii.hexlify(os.urandom(16)).decode("ascii")
        context = Context(self._loop, self._interpreter, context_id, os.path.normpath(cwd))
        context.start()
        self._contexts[context_id] = context
        channel.tell(event="context", **self._shown(context))

    def _list(self, channel, message):
        contexts = [self._shown(context) for context in self._contexts.values()]
        channel.tell(event="contexts", contexts=contexts)

    def _delete(self, channel, message):
        context = self._of(message)
        del self._contexts[context.context_id]
        context.end("the context was deleted")
        channel.tell(event="done")

    def _restart(self, channel, message):
        context = self._of(message)
        context.end("the context was restarted")
        context.start()
        channel.tell(event="done")

    def _interrupt(self, channel, message):
        self._of(message).interrupt()
        channel.tell(event="done")

    def _execute(self, channel, message):
        environment = message.get("env") or {}
        if not all(isinstance(text, str) for pair in environment.items() for text in pair):
            raise ValueError("an environment of something else than text")
        code = message.get(frames.BODY, b"").decode("utf-8")
        execution = Execution(self._loop, channel, self._of(message), message.get("timeout_s"))
        execution.begin(code, environment)
        return execution

    def _shown(self, context):
        return {"context_id": context.context_id, "language": LANGUAGE, "cwd": context.cwd}


def serve(listener_fd, ready_fd):
    """Never returns. What becomes of it is written to `ready_fd`."""
    listener = socket.socket(fileno=listener_fd)
    listener.set_inheritable(False)
    os.set_inheritable(ready_fd, False)
    try:
        with open("/proc/self/comm", "w") as file:
            file.write(NAME)
    except OSError:
        pass  # not every kernel lets it be changed
    # Kernels are in groups of their own; this one is in nobody's.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    try:
        server = Server(listener, WarmInterpreter())
    except Exception as error:  # noqa: BLE001 - the agent tells the gateway
        listener.close()  # or whoever asks next would find it there
        os.write(ready_fd, ("code cannot be run: %r" % error).encode("utf-8")[:1000])
        os._exit(1)
    gc.freeze()  # what every kernel shares stays shared
    os.write(ready_fd, b"serves")
    os.close(ready_fd)
    server.run()
