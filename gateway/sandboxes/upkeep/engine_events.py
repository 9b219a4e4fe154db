"""Follows the engine's events."""

from __future__ import annotations

import logging
import time

from gateway import clock
from gateway.engine.interface import Engine
from gateway.errors import EngineFault, GatewayError
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

    def follow(self) -> None:
        """Never returns."""
        # From before the first comparison, so that nothing falls between it and the first event.
        since = clock.wall_s()
        was_away = False
        while True:
            try:
                self._reconciliation.compare(engine_was_away=was_away)
                was_away = False
                for event in self._engine.events({INSTANCE: self._instance_id}, since):
                    since = event.at
                    self._reconciliation.notice(event)
                was_away = True  # the stream has ended
            except EngineFault as error:
                log.warning("cannot follow the engine's events: %s", error)
                was_away = True
            except GatewayError as error:
                log.warning("cannot act upon the engine's events: %s", error)
            time.sleep(RECONNECT_S)
