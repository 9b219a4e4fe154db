"""Holding a sandbox: nobody else pauses, resumes or restores it meanwhile, and clients wait."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gevent import sleep
from gevent.pool import Group

from gateway.engine.interface import Engine
from gateway.errors import EngineRefused, SandboxBusy, StoreUnavailable
from gateway.process.change_feed import ChangeFeed
from gateway.sandboxes.life.pause_and_resume import LOOK_S, TRIES, PauseAndResume
from gateway.sandboxes.life.sandbox_check import SandboxCheck
from gateway.store.holds import HoldStore

log = logging.getLogger(__name__)

WAIT_S = 10.0
"""How long one waits for another who holds the sandbox, or is in the middle of pausing it."""

RETRY_S = 1.0
"""How soon a hold is ended that could not be while the store was away."""


class Holding:
    """Claims sandboxes for a moment (`gateway.store.holds`)."""

    def __init__(
        self,
        holds: HoldStore,
        check: SandboxCheck,
        engine: Engine,
        pausing: PauseAndResume,
        worker_id: str,
        feed: ChangeFeed,
    ) -> None:
        self._holds = holds
        self._check = check
        self._engine = engine
        self._pausing = pausing
        self._worker_id = worker_id
        self._feed = feed
        self._releasing = Group()

    def claim(self, sandbox_id: str, *, restoring: str | None = None) -> str:
        """Hold it, once nobody else does; the state that it was in, `ready` or `paused`. With
        `restoring`, a snapshot's id, another's restore is not waited for.

        Raises SandboxNotFound, SandboxBusy and StoreUnavailable.
        """
        deadline = time.monotonic() + WAIT_S
        while True:
            mark = self._feed.mark
            was = self._holds.claim(sandbox_id, worker_id=self._worker_id, restoring=restoring)
            if was is not None:
                return was
            row = self._check.live(sandbox_id)
            left_s = deadline - time.monotonic()
            if left_s <= 0 or row.state == "starting" or (restoring and row.restoring_from):
                raise SandboxBusy()
            self._feed.wait_after(mark, left_s)

    def release(self, sandbox_id: str) -> bool:
        """It is what it was before. False when it has ended. Raises StoreUnavailable; then it is
        tried again and again: nobody else may end a hold of a worker that lives."""
        try:
            return self._holds.release(sandbox_id, worker_id=self._worker_id)
        except StoreUnavailable:
            self._releasing.spawn(self._release_later, sandbox_id)
            raise

    def _release_later(self, sandbox_id: str) -> None:
        while True:
            sleep(RETRY_S)
            try:
                self._holds.release(sandbox_id, worker_id=self._worker_id)
                return
            except StoreUnavailable as error:
                log.info("sandbox %s is still held: %s", sandbox_id, error)

    @contextmanager
    def standing_still(self, sandbox_id: str, container_id: str) -> Iterator[None]:
        """No process of it runs within the block, and none begins to. One that is paused stays so.

        Raises what `claim` does, ContainerGone and the engine's errors.
        """
        was = self.claim(sandbox_id)
        try:
            if was == "paused":
                yield
                return
            try:
                self._pausing.freeze(container_id)
                yield
            finally:
                self.thaw(container_id)
        finally:
            self.release(sandbox_id)

    def thaw(self, container_id: str) -> None:
        """Let its processes go on. Raises ContainerGone and the engine's errors."""
        for _ in range(TRIES - 1):
            try:
                self._engine.unpause(container_id)
                return
            except EngineRefused as error:
                log.info("container %.12s does not go on yet: %s", container_id, error)
                sleep(LOOK_S)
        self._engine.unpause(container_id)
