"""Templates that are there: shown, deleted, and what a killed gateway left of others removed."""

from __future__ import annotations

import logging
from collections.abc import Collection

from gateway.engine.interface import Engine
from gateway.errors import EngineRefused, GatewayError, TemplateNotFound
from gateway.sandboxes.snapshots.host_side import SnapshotNames
from gateway.sandboxes.spec.container_labels import SANDBOX_ID
from gateway.store.templates import TemplateRow, TemplateStore

log = logging.getLogger(__name__)

REPOSITORY = "sandbox-gateway-template"

BUILD = "io.sandbox-gateway.build"
"""The label on all that the engine makes for a template: images, those in between too, and
containers. Sandboxes made from a template have it from there, and their own besides."""


class TemplateKeeping:
    """Shows and removes templates. Any method may raise StoreUnavailable. `names` makes this
    gateway's labels out of build ids: others may use the same engine."""

    def __init__(self, store: TemplateStore, engine: Engine, names: SnapshotNames) -> None:
        self._store = store
        self._engine = engine
        self._names = names

    def get(self, name: str) -> TemplateRow:
        """Raises TemplateNotFound."""
        found = self._store.get(name)
        if found is None:
            raise TemplateNotFound()
        return found

    def list(self) -> list[TemplateRow]:
        """All that are there, by name."""
        return self._store.those()

    def delete(self, name: str) -> None:
        """No sandbox is made of it any more when this returns; those that there are go on. Raises
        TemplateNotFound."""
        found = self.get(name)
        if not self._store.claim_removal(found.build_id):
            raise TemplateNotFound()
        self.finish_removal(found)

    def give_up(self, row: TemplateRow) -> None:
        """It came to nothing."""
        self._store.claim_removal(row.build_id)
        self.finish_removal(row)

    def finish_removal(self, row: TemplateRow) -> None:
        """Remove what the engine has of one in state `removing`, then its row. What fails is
        logged, and done by `tidy`."""
        try:
            self._engine.untag_image(row.image)
            self.sweep(row.build_id)
            self._store.forget(row.build_id)
        except GatewayError as error:
            log.warning("cannot remove template %s yet: %s", row.name, error)

    def sweep(self, build_id: str) -> None:
        """Remove containers of a build, and its images that have no name, as far as nothing needs
        them. Raises the engine's errors."""
        label = {BUILD: self._names.of_id(build_id)}
        for container in self._engine.containers(label):
            if SANDBOX_ID not in container.labels:
                self._engine.remove(container.container_id)
        for image in self._engine.images(label):
            if not image.tags:
                self._remove_unless_used(image.image_id)

    def _remove_unless_used(self, image_id: str) -> None:
        """With those below it that are only there for it."""
        try:
            self._engine.remove_image(image_id)
        except EngineRefused as error:
            log.debug("image %.19s is still needed: %s", image_id, error)

    # --- after accidents -----------------------------------------------------------------------

    def take_over_from(self, dead_workers: Collection[str]) -> None:
        """What workers that were killed were making is removed by `tidy`."""
        self._store.leave_those_of(dead_workers)

    def tidy(self) -> None:
        """Remove what nobody needs of builds that are not noted any more: what sandboxes still
        needed then, and what an engine made after its gateway was killed.

        What is there is read first: it is there only as long as its row is.
        Raises the engine's errors.
        """
        images = self._engine.images({BUILD: ""})
        labels = [one.labels for one in images]
        labels += [one.labels for one in self._engine.containers({BUILD: ""})]
        builds = self._names.ids_among({one.get(BUILD, "") for one in labels})
        rows = self._store.all()
        for row in rows:
            if row.state == "removing":
                self.finish_removal(row)
        unknown = builds - {row.build_id for row in rows}
        for image in images:
            if self._names.ids_among({image.labels[BUILD]}) & unknown:
                for tag in image.tags:
                    if tag.startswith(f"{REPOSITORY}:"):
                        self._engine.untag_image(tag)
        for build_id in unknown:
            self.sweep(build_id)
