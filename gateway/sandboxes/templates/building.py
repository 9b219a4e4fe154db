"""Building templates: within limits, whole or not at all."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal, Protocol

import gevent
from gevent.queue import Empty, Queue

from gateway import clock
from gateway.engine.interface import BuildLimits, Engine
from gateway.errors import (
    BadTemplate,
    BuildTimeout,
    GatewayError,
    TemplateNotFound,
    TemplateTooLarge,
)
from gateway.sandboxes.snapshots import as_images
from gateway.sandboxes.snapshots.host_side import SnapshotNames
from gateway.sandboxes.templates import context
from gateway.sandboxes.templates.keeping import BUILD, REPOSITORY, TemplateKeeping
from gateway.settings import MIB
from gateway.store.templates import TemplateRow, TemplateStore

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often it is looked whether a build stays within its limits."""

_HELD = 256
"""Pieces of output that wait for a client that does not read; then the build stands still."""


@dataclass(frozen=True)
class TemplateLimits:
    """What one build may take, and how many templates there may be."""

    most: int
    context_bytes: int
    context_entries: int
    image_bytes: int
    timeout_s: float
    build: BuildLimits


class Room(Protocol):
    """Knows whether the host's disk has room."""

    def check_room(self) -> None:
        """Raises DiskFull."""


class BuildMetrics(Protocol):
    """Counts builds."""

    def template_built(self, outcome: Literal["ok", "failed"], seconds: float) -> None: ...


class Templates:
    """Builds them. `directory` takes contexts, in files without names."""

    def __init__(
        self,
        store: TemplateStore,
        keeping: TemplateKeeping,
        engine: Engine,
        names: SnapshotNames,
        room: Room,
        limits: TemplateLimits,
        taken: frozenset[str],
        directory: Path,
        worker_id: str,
        metrics: BuildMetrics,
    ) -> None:
        """`taken` are the names of images that are allowed besides."""
        self.store = store
        self.keeping = keeping
        self.engine = engine
        self.names = names
        self.room = room
        self.limits = limits
        self.directory = directory
        self.metrics = metrics
        self._taken = taken
        self._worker_id = worker_id

    def build(self, name: str, made_by: str) -> Building:
        """One that begins now; to be entered. Raises TemplateNameTaken, TooManyTemplates, DiskFull,
        StoreUnavailable and the engine's errors."""
        if name in self._taken:
            raise BadTemplate(f"an image that is allowed already is called {name}")
        self.room.check_room()
        build_id = secrets.token_hex(16)
        row = TemplateRow(
            name=name,
            state="making",
            worker_id=self._worker_id,
            build_id=build_id,
            image=f"{REPOSITORY}:{self.names.of_id('')}{name}",
            created_at=clock.wall_s(),
            made_by=made_by,
        )
        self.store.begin(row, most=self.limits.most)
        return Building(self, row)


class Building:
    """One build. What has not become a template by the end of the block is removed."""

    def __init__(self, templates: Templates, row: TemplateRow) -> None:
        self._templates = templates
        self._row = row
        self._begun = time.monotonic()
        self._context: IO[bytes] | None = None
        self._error: GatewayError | None = None
        self._is_over = False

    def __enter__(self) -> Building:
        return self

    def __exit__(self, *_: object) -> None:
        if self._context is not None:
            self._context.close()
        self._end("failed")

    def _end(self, outcome: Literal["ok", "failed"]) -> None:
        """Once."""
        if self._is_over:
            return
        self._is_over = True
        self._templates.metrics.template_built(outcome, time.monotonic() - self._begun)
        if outcome == "failed":
            self._templates.keeping.give_up(self._row)

    def receive(self, pieces: Iterable[bytes]) -> None:
        """Take the context, and look whether it may be built. Raises TooLarge, BadTemplate,
        BuildTimeout, what `pieces` raises and the engine's errors."""
        limits, engine = self._templates.limits, self._templates.engine
        with gevent.Timeout(limits.timeout_s, self._overdue()):
            self._context = context.received(
                pieces, self._templates.directory, limits.context_bytes
            )
            mark = f'LABEL {BUILD}="{self._templates.names.of_id(self._row.build_id)}"'
            wanted = context.prepared(self._context, mark, limits.context_entries)
        for base in sorted(wanted.bases):
            base_image = self._templates.store.image_of(base) or base
            if base_image != base:
                raise BadTemplate(f"the template {base} is called {base_image} in FROM")
            if base.startswith(as_images.REPOSITORY) or "sha256:" in base:
                raise BadTemplate("an image of a sandbox is no base")
            if not engine.has_image(base):
                raise BadTemplate(f"there is no image {base} on the engine's host")

    def events(self) -> Generator[str | TemplateRow, None, None]:
        """The builder's output as it comes, and at the end the template. Ends the build when it is
        closed. Raises BuildFailed, BuildTimeout, TemplateTooLarge, DiskFull, StoreUnavailable and
        the engine's errors."""
        try:
            yield from self._output()
            made = self._finish()
        except GatewayError:
            self._end("failed")  # before anybody is told: the name is free then
            raise
        yield made

    def _output(self) -> Generator[str, None, None]:
        output: Queue[str | None] = Queue(maxsize=_HELD)
        work = gevent.spawn(self._run, output)
        try:
            looked = time.monotonic()
            while True:
                text: str | None = ""
                with suppress(Empty):
                    text = output.get(timeout=LOOK_S)
                if text is None:
                    break
                if text:
                    yield text
                if time.monotonic() - looked >= LOOK_S:
                    self._check()
                    looked = time.monotonic()
        finally:
            work.kill()
        if self._error is not None:
            raise self._error

    def _run(self, output: Queue[str | None]) -> None:
        """In a greenlet of its own, which is killed when nobody needs the build any more."""
        limits = self._templates.limits
        assert self._context is not None
        try:
            for text in self._templates.engine.build(self._context, self._row.image, limits.build):
                output.put(text)
        except GatewayError as error:
            self._error = error
        except Exception as error:
            log.exception("building a template failed")
            self._error = GatewayError(type(error).__name__)
        output.put(None)

    def _check(self) -> None:
        limits = self._templates.limits
        if time.monotonic() - self._begun > limits.timeout_s:
            raise self._overdue()
        self._templates.room.check_room()
        label = {BUILD: self._templates.names.of_id(self._row.build_id)}
        if any(
            size > limits.image_bytes for size in self._templates.engine.written(label).values()
        ):
            raise self._too_large()

    def _finish(self) -> TemplateRow:
        templates, row = self._templates, self._row
        image_id = templates.engine.image_id(row.image)
        label = {BUILD: templates.names.of_id(row.build_id)}
        sizes = {image.image_id: image.size_bytes for image in templates.engine.images(label)}
        size_bytes = sizes.get(image_id, 0)
        if size_bytes > templates.limits.image_bytes:
            raise self._too_large()
        there = replace(
            row,
            state="there",
            image_id=image_id,
            size_bytes=size_bytes,
            created_at=clock.wall_s(),
        )
        if not templates.store.mark_there(
            row.build_id,
            image_id=image_id,
            size_bytes=size_bytes,
            created_at=there.created_at,
        ):
            raise TemplateNotFound("it was given up meanwhile")
        self._end("ok")
        try:
            templates.keeping.sweep(row.build_id)  # stages that it was copied from
        except GatewayError as error:
            log.warning("cannot remove what the build of %s left: %s", row.name, error)
        return there

    def _overdue(self) -> BuildTimeout:
        return BuildTimeout(f"it took longer than {self._templates.limits.timeout_s:g} s")

    def _too_large(self) -> TemplateTooLarge:
        return TemplateTooLarge(f"more than {self._templates.limits.image_bytes // MIB} MiB")
