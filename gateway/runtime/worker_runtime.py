"""All parts of a worker process, their beginning and their end."""

from __future__ import annotations

import os

from gateway.api.e2b.open_streams import OpenStreams
from gateway.api.ports.watch import OpenExchanges
from gateway.api.rest.stoppable_waits import Waiting
from gateway.errors import TooManyConnections
from gateway.identity.slots import Slots
from gateway.runtime.endings import Endings
from gateway.runtime.foundation import Foundation
from gateway.runtime.housekeeping_jobs import housekeeping
from gateway.runtime.inside_sandboxes import InsideSandboxes
from gateway.runtime.sandbox_services import SandboxServices
from gateway.runtime.snapshot_services import SnapshotServices
from gateway.runtime.template_services import TemplateServices
from gateway.settings import Settings


class Runtime:
    """Everything a worker process owns. Made after the fork; `start` begins the greenlets.

    Raises what `Foundation` does; what was built by then is let go of.
    """

    def __init__(self, settings: Settings) -> None:
        self._pid = os.getpid()
        self._started = False
        self._endings = Endings()
        try:
            self._build(settings)
        except BaseException:
            try:
                self.close()
            finally:
                self.release()
            raise

    def _build(self, settings: Settings) -> None:
        # What is built last is closed first. That REST's waits and exchanges with ports end takes
        # no time; that of WebSockets may take seconds.
        self.base = Foundation(settings, self._endings)
        self.inside = InsideSandboxes(self.base, self._endings)
        self.services = SandboxServices(self.base, self.inside, self._endings)
        self.snapshots = SnapshotServices(self.base, self.inside, self.services, self._endings)
        self.templates = TemplateServices(self.base, self.services)
        self.commands = self.inside.commands.with_effects(self.snapshots.effects)
        self.websockets = Slots(settings.websockets_per_key, TooManyConnections)
        self.waiting = self._endings.closing.add(Waiting())
        self.e2b_streams = self._endings.closing.add(
            OpenStreams(self.services.sandboxes, self.base.feed)
        )
        self.exchanges = self._endings.closing.add(OpenExchanges())
        self._housekeeping = self._endings.closing.add(
            housekeeping(self.base, self.services, self.snapshots, self.templates)
        )

    def start(self) -> None:
        """Begin to keep house and to look after connections. Further calls do nothing."""
        if self._started:
            return
        if os.getpid() != self._pid:
            raise RuntimeError("the application was made before the fork: do not use --preload")
        self._started = True
        self.inside.history.start()
        self.services.standby.start()
        self.services.connections.start()
        self.services.request_leases.start()
        self.e2b_streams.start()
        self._housekeeping.start()

    def close(self) -> None:
        """Send every client its close frame or an answer. Commands go on.

        May be repeated. A part that fails keeps no other from its end (`endings.Phase`).
        """
        self._endings.closing.close()

    def release(self) -> None:
        """After `close`, when all handlers have returned: free what they used. Likewise."""
        self._endings.releasing.close()
