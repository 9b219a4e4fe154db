"""Follows the engine's events."""

from __future__ import annotations

import logging

from gateway import clock
from gateway.engine.interface import Engine
from gateway.errors import EngineFault
from gateway.process.periodic import PeriodicLoop
from gateway.sandboxes.spec.container_labels import INSTANCE
from gateway.sandboxes.upkeep.reconcile_with_engine import Reconciliation

log = logging.getLogger(__name__)

RECONNECT_S = 1.0


class Watch:
    """Has each event looked at, without end.

    Events are a hint to look, no more: some are missed while the engine is away, so a full
    comparison follows each reconnect, and others come from time to time anyway.
    """

    def __init__(self, engine: Engine, reconciliation: Reconciliation, instance_id: str) -> None:
        self._engine = engine
        self._reconciliation = reconciliation
        self._instance_id = instance_id
        self._since = clock.wall_s()
        self._was_away = False

    def follow(self) -> None:
        """Never returns."""
        # From before the first comparison, so that nothing falls between it and the first event.
        self._since = clock.wall_s()
        PeriodicLoop("following the engine's events", self._follow_a_stream, RECONNECT_S).run()

    def _follow_a_stream(self) -> None:
        try:
            self._reconciliation.compare(engine_was_away=self._was_away)
            self._was_away = False
            for event in self._engine.events({INSTANCE: self._instance_id}, self._since):
                self._since = event.at
                self._reconciliation.notice(event)
            self._was_away = True  # the stream has ended
        except EngineFault as error:
            log.warning("cannot follow the engine's events: %s", error)
            self._was_away = True
