"""The agent itself: its loop, its links, and what it owns for them."""

import os

from . import descriptors, signals
from .contexts.start import ContextProcess
from .files.start import FileProcess
from .links.serving import LinkServer
from .loop import Loop
from .operations.commands import CommandOperations
from .operations.sandbox import QuietWaits, SandboxOperations
from .operations.table import Operations
from .ports.connection import PortOperations
from .processes.runner import Runner
from .retention import Limits, Retention


class Daemon:
    """Serves any number of links; owns the loop and, through the runner, all commands."""

    def __init__(self, listener, environment):
        self._loop = Loop()
        limits = Limits()
        self._retention = Retention(limits)
        quiet = QuietWaits()
        self._runner = Runner(self._loop, limits, self._retention, environment, quiet.tell)
        operations = (
            CommandOperations(self._runner, self._retention),
            SandboxOperations(self._runner, limits, quiet),
            FileProcess(environment),
            PortOperations(self._loop),
            ContextProcess(self._loop, environment),
        )
        tables = [one.table() for one in operations]
        self._links = LinkServer(
            self._loop,
            listener,
            Operations({name: do for table in tables for name, do in table.items()}),
            lambda: self._runner.running,
        )
        if os.getuid() == 0:
            self._listen_for_sudo()

    def _listen_for_sudo(self):
        """Where this is root's agent, beside another: only that one is sent with these modules."""
        try:
            from .sudo.listener import SudoListener
        except ImportError:
            return
        SudoListener(self._loop)

    def run(self):
        """Serve until the process is killed."""
        while True:
            self._loop.once()
            self._links.pump()
            self._retention.sweep()


def serve(listener, environment):
    """Run the daemon on a listening socket; never returns. `environment` is the container's."""
    descriptors.raise_limit()
    signals.catch_all()
    Daemon(listener, environment).run()
