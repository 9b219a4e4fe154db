"""Snapshots as images of the engine's, where sandboxes have no disks that could be copied.

The engine packs what a container has written into a layer, file by file, which loses something
(`gateway.store.snapshots.LOST_BY_IMAGES`) and writes holes out. An image carries the snapshot's
name in a label from the moment on that it exists: so what a killed gateway leaves is found.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from gateway.engine.interface import ContainerInfo, Engine, ImageInfo
from gateway.errors import EngineRefused, SnapshotTooLarge
from gateway.sandboxes.snapshots.host_side import SnapshotNames
from gateway.settings import MIB
from gateway.store.snapshots import SnapshotRow

log = logging.getLogger(__name__)

REPOSITORY = "sandbox-gateway-snapshot"

NAME = "io.sandbox-gateway.snapshot"
BYTES = "io.sandbox-gateway.snapshot-bytes"
"""What lies in all layers above the image that the first sandbox was made from."""
DEPTH = "io.sandbox-gateway.snapshot-depth"
"""How many such layers there are. A container has these labels from its image."""

DEEPEST = 64
"""The kernel and the engine stack some 120 layers."""


@dataclass(frozen=True)
class TakenImage:
    """An image that is there, whole."""

    image_id: str
    used_bytes: int
    """Of its own layer, as the engine counts: the lengths of all files."""
    paused_s: float


class ImageSnapshots:
    """Makes and removes them. Anything may raise the engine's errors."""

    def __init__(self, engine: Engine, names: SnapshotNames) -> None:
        self._engine = engine
        self._names = names

    def take(
        self,
        container: ContainerInfo,
        snapshot: SnapshotRow,
        paused: AbstractContextManager[object],
        check_room: Callable[[int], None],
    ) -> TakenImage:
        """Keep what a container has written; it is `paused` as long as that takes. `check_room`
        raises DiskFull where the host has no room for so many bytes.

        Raises SnapshotTooLarge, ContainerGone and what these two do.
        """
        name = self._names.of(snapshot)
        depth = _number(container.labels, DEPTH) + 1
        if depth > DEEPEST:
            raise SnapshotTooLarge(f"more than {DEEPEST} snapshots of each other, as images")
        below = _number(container.labels, BYTES)
        with paused:
            began_s = time.monotonic()
            # While it stands still: else a sparse file could be made longer in between.
            written = self._engine.apparent_bytes(container.container_id)
            if below + written > snapshot.disk_mb * MIB:
                raise SnapshotTooLarge(
                    f"its files are {(below + written) // MIB} MiB long, holes included; an image"
                    f" of them may have {snapshot.disk_mb} MiB"
                )
            check_room(written)
            image_id = self._engine.commit(
                container.container_id,
                f"{REPOSITORY}:{name}",
                {NAME: name, BYTES: str(below + written), DEPTH: str(depth)},
            )
            paused_s = time.monotonic() - began_s
        return TakenImage(image_id, written, paused_s)

    def remove(self, snapshot: SnapshotRow) -> None:
        """Nobody finds it any more. The image itself stays while containers need it, and is removed
        by `tidy` then. One that is not there is a success."""
        self._engine.untag_image(f"{REPOSITORY}:{self._names.of(snapshot)}")

    def found(self) -> dict[str, ImageInfo]:
        """This gateway's, by the ids of their snapshots."""
        images = {image.labels.get(NAME, ""): image for image in self._engine.images({NAME: ""})}
        mine = self._names.ids_among(set(images))
        return {snapshot_id: images[self._names.of_id(snapshot_id)] for snapshot_id in mine}

    def tidy(self, found: Mapping[str, ImageInfo], rows: Mapping[str, SnapshotRow]) -> None:
        """Remove what is not noted. The rows were read after the images: what is being made has
        one."""
        needed = {row.image_id for row in rows.values()}
        for snapshot_id in found.keys() - rows.keys():
            image = found[snapshot_id]
            own = [tag for tag in image.tags if tag.startswith(f"{REPOSITORY}:")]
            for tag in own:
                log.warning("removing a snapshot that nobody knows of: %s", snapshot_id)
                self._engine.untag_image(tag)
            # Another name is that of an image which snapshots need (`base_images`).
            if not image.tags and image.image_id not in needed:
                self._remove_unless_used(image)

    def _remove_unless_used(self, image: ImageInfo) -> None:
        try:
            self._engine.remove_image(image.image_id)
        except EngineRefused as error:
            log.debug("image %.19s is still needed: %s", image.image_id, error)


def _number(labels: Mapping[str, str], name: str) -> int:
    text = labels.get(name, "")
    return int(text) if text.isdecimal() else 0
