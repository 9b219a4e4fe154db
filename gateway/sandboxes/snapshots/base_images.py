"""Images that snapshots need, kept from being pruned.

A snapshot holds what differs from its image, which it needs by its id. An image that was built anew
loses its name, and `docker image prune` removes those without. So each gets a name of this
gateway's for as long as there is a snapshot that needs it.
"""

from __future__ import annotations

import logging

from gateway.engine.interface import Engine
from gateway.errors import EngineRefused, ImageMissing
from gateway.store.snapshots import SnapshotStore

log = logging.getLogger(__name__)

REPOSITORY = "sandbox-gateway-snapshots-need"

_DIGITS = 32
"""Of an image's id in its tag."""


class BaseImages:
    """Gives images names, and takes them away. `instance_id` tells this gateway's from others'."""

    def __init__(self, store: SnapshotStore, engine: Engine, instance_id: str) -> None:
        self._store = store
        self._engine = engine
        self._prefix = f"{REPOSITORY}:{instance_id}."
        self._may_have_named = True

    def tidy(self) -> None:
        """Compare what is needed with what has a name. An image whose only name it was goes with
        the last snapshot, once no sandbox has it either. Raises StoreUnavailable and the engine's
        errors."""
        if not self._may_have_named and not self._store.image_ids():
            return
        # Names first: one that is given meanwhile is not taken for one that nobody needs.
        named = {
            name: image_id
            for name, image_id in self._engine.names_in(REPOSITORY).items()
            if name.startswith(self._prefix)
        }
        needed = self._store.image_ids()
        self._may_have_named = bool(named or needed)
        for image_id in needed - set(named.values()):
            digest = image_id.rpartition(":")[2]
            try:
                self._engine.name_image(image_id, f"{self._prefix}{digest[:_DIGITS]}")
            except ImageMissing:
                log.debug("image %.19s is gone, and snapshots need it", image_id)
        for name, image_id in named.items():
            if image_id not in needed:
                try:
                    self._engine.remove_image(name)
                except EngineRefused as error:
                    log.debug("image %.19s still has sandboxes: %s", image_id, error)
