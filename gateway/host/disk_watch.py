"""Looks after the engine's disk: a floor of free space, and limits the kernel does not hold."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gateway import clock
from gateway.errors import DiskFull, GatewayError, HostToolFailed
from gateway.host import programs
from gateway.host.disk_rules import Written, is_low, over_limit, to_end
from gateway.host.layer_disks import LayerDisks
from gateway.settings import MIB

Result = TypeVar("Result")

log = logging.getLogger(__name__)

COUNT_EVERY_S = 10.0
"""How often it is counted what sandboxes have written: 25 µs where each has a disk of its own, and
elsewhere file by file, 0.3 s for 100,000 of them."""

GIVE_BACK_EVERY_S = 60.0
"""How often the host gets back what sandboxes have deleted on disks of their own."""

_COUNT_LIMIT_S = 20.0

_NEARLY_FULL = (
    "the host's disk was nearly full, and of the sandboxes of who had written most it was the "
    "largest"
)


@dataclass(frozen=True)
class Target:
    """A sandbox whose disk is looked after."""

    sandbox_id: str
    container_id: str
    disk_mb: int | None
    owner: str = ""


class DiskWatch:
    """Ends sandboxes that take too much, with reason `disk`.

    `targets` are the sandboxes there are. `layer_of` asks the engine for a container's layer, and
    `written` for the bytes of all containers, by container id. `end` ends a sandbox; its second
    argument says why, for people.
    """

    def __init__(
        self,
        disks: LayerDisks,
        *,
        floor_mb: int,
        targets: Callable[[], Iterable[Target]],
        layer_of: Callable[[str], str | None],
        written: Callable[[], dict[str, int]],
        end: Callable[[str, str], None],
    ) -> None:
        self._disks = disks
        self._floor_mb = floor_mb
        self._targets = targets
        self._layer_of = layer_of
        self._written = written
        self._end = end
        self._layers: dict[str, str] = {}
        self._counted_at = -COUNT_EVERY_S
        self._given_back_at = -GIVE_BACK_EVERY_S

    def check_room(self, more_bytes: int = 0) -> None:
        """Raises DiskFull when no sandbox may be created, or nothing else that takes `more_bytes`;
        and the engine's errors."""
        free = self._free_bytes()
        if free is not None and is_low(free - more_bytes, self._floor_mb):
            raise DiskFull(f"{free // MIB} MiB are free, {self._floor_mb} MiB are kept")

    def check(self) -> tuple[bool, str]:
        """Whether there is room, and how much. Raises the engine's errors."""
        free = self._free_bytes()
        if free is None:
            return False, "the engine's free disk space is not known: it is on another host"
        told = f"{free // MIB} MiB free, floor {self._floor_mb} MiB"
        return not is_low(free, self._floor_mb), told

    def look(self) -> None:
        """Called every second; does little as long as there is room and the kernel holds limits.

        Raises the engine's errors.
        """
        now, low = clock.boot_s(), self._is_low()
        if low or now - self._given_back_at >= GIVE_BACK_EVERY_S:
            self._given_back_at = now
            if self._disks.sees_layers():
                self._each(self._disks.give_back)
        if low or now - self._counted_at >= COUNT_EVERY_S:
            self._counted_at = now
            for one in over_limit(self._count()):
                why = f"it wrote more than its {one.limit_mb} MiB, or too many files"
                self._try_to_end(one, why)
        if low and self._is_low():
            self._defend_floor()

    def _is_low(self) -> bool:
        free = self._free_bytes()
        return free is not None and is_low(free, self._floor_mb)

    def _defend_floor(self) -> None:
        free = self._free_bytes()
        if free is None:
            return
        for one in to_end(self._count(), free_bytes=free, floor_mb=self._floor_mb):
            self._try_to_end(one, _NEARLY_FULL)

    def _try_to_end(self, one: Written, why: str) -> None:
        log.warning("ending sandbox %s (%d MiB): %s", one.sandbox_id, one.used_bytes // MIB, why)
        try:
            self._end(one.sandbox_id, why)
        except GatewayError as error:
            log.warning("cannot end sandbox %s yet: %s", one.sandbox_id, error)

    def _free_bytes(self) -> int | None:
        """Of the fullest place; None where it cannot be known."""
        found = [_free_at(path) for path in self._disks.places()]
        return min((free for free in found if free is not None), default=None)

    def _count(self) -> list[Written]:
        if self._disks.sees_layers():
            return [
                Written(t.sandbox_id, *used, t.disk_mb, t.owner) for t, used in self._each(_used)
            ]
        sizes = self._written()
        return [
            Written(t.sandbox_id, sizes[t.container_id], 0, t.disk_mb, t.owner)
            for t in self._targets()
            if t.container_id in sizes
        ]

    def _each(self, act: Callable[[str], Result]) -> list[tuple[Target, Result]]:
        """What `act` gives for the layer of each sandbox for which it does not fail."""
        targets = list(self._targets())
        self._forget_layers(targets)
        found = []
        for target in targets:
            try:
                found.append((target, act(self._layer(target.container_id))))
            except (GatewayError, OSError) as error:
                # It may have just been removed.
                log.info("cannot look at what %s has written: %s", target.sandbox_id, error)
        return found

    def _layer(self, container_id: str) -> str:
        if container_id not in self._layers:
            layer = self._layer_of(container_id)
            if layer is None:
                raise HostToolFailed("the engine does not say where")
            self._layers[container_id] = layer
        return self._layers[container_id]

    def _forget_layers(self, targets: list[Target]) -> None:
        known = {target.container_id for target in targets}
        self._layers = {key: layer for key, layer in self._layers.items() if key in known}


def _free_at(path: Path) -> int | None:
    """Its nearest parent is asked where only root may look inside."""
    for place in (path, *path.parents[:-1]):
        try:
            found = os.statvfs(place)
        except PermissionError:
            continue
        except OSError:
            return None
        return found.f_bavail * found.f_frsize
    return None


def _used(layer: str) -> tuple[int, int]:
    """Bytes and files: those of its own disk where it has one, else what is counted."""
    if not os.path.ismount(layer):
        return _walked(layer)
    found = os.statvfs(layer)
    return (found.f_blocks - found.f_bfree) * found.f_frsize, found.f_files - found.f_ffree


def _walked(layer: str) -> tuple[int, int]:
    """Bytes and files in a directory, by du(1): in a process of its own, for a thread that walks
    holds Python's lock. It follows no link (`-P`); what vanishes meanwhile is status 1."""
    limit = ["timeout", f"{_COUNT_LIMIT_S:g}", "nice", "du", "-sxP"]
    place = f"{layer}/diff"
    used_bytes = programs.run([*limit, "--block-size=1", place], good=(0, 1))
    inodes = programs.run([*limit, "--inodes", place], good=(0, 1))
    try:
        return int(used_bytes.split()[0]), int(inodes.split()[0])
    except (IndexError, ValueError) as error:
        raise HostToolFailed(f"du said nothing about {place}") from error
