"""What commands are asked for besides their output: a checkpoint before, what they changed after.

Whoever starts a command looks at the files before, and tells when it has ended. What was told is
written down, for those who ask again, at any worker.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import gevent
import orjson
from gevent.pool import Group

from gateway.commands.command_spec import CommandSpec
from gateway.commands.files_behind_commands import Checkpoints, Kept, Looks
from gateway.commands.run_once import Claim, OnceRegister
from gateway.commands.watches import FirstWatch, LaterWatch, Watch
from gateway.errors import GatewayError
from gateway.link.users import User
from gateway.schemas.command_effects import CommandEffects, Missing
from gateway.use.place import Place

log = logging.getLogger(__name__)

TOLD_WITHIN_S = 30.0
LOOK_S = 0.1
"""How long, and how often, one who found a command ended waits for another worker to tell what it
changed."""


class FileEffects:
    """Owns a greenlet for each command that is watched and that nobody waits for.

    `give_up` removes a checkpoint. `is_alive` says whether a worker is. `wait_until_ended` waits
    until a command (by its key, and the agent that has it where that is known) has ended, and
    raises what keeps it from knowing.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        give_up: Callable[[Any], None],
        looks: Looks,
        kept: Kept,
        once: OnceRegister,
        worker_id: str,
        is_alive: Callable[[str], bool],
        wait_until_ended: Callable[[Place, str, str | None, User], None],
    ) -> None:
        self._checkpoints = checkpoints
        self._give_up = give_up
        self._looks = looks
        self._kept = kept
        self._once = once
        self._worker_id = worker_id
        self._is_alive = is_alive
        self._wait_until_ended = wait_until_ended
        self._unattended = Group()

    def close(self) -> None:
        """What is still watched is lost. May be repeated."""
        self._unattended.kill()

    # --- before a command ----------------------------------------------------------------------

    def before(self, place: Place, spec: CommandSpec, daemon: str | None) -> Watch:
        """Do what the command asks for before it starts. `daemon` is the agent that is to get it;
        None: it has none.

        Raises CommandLost, and what `Checkpoints.take` and `Looks.look` raise: then it must not be
        started.
        """
        if spec.once:
            assert daemon is not None
            noted = self._once.noted(place.sandbox_id, spec.request_id, daemon)
            if noted is not None:
                return self.later(place, spec, noted)
        checkpoint = look = None
        try:
            if spec.checkpoint:
                checkpoint = self._checkpoints.take(place.sandbox_id, kind="checkpoint")
            if spec.changes:
                look = self._looks.look(place)
            name = None if checkpoint is None else checkpoint.snapshot_id
            claim = self._claim(place, spec, daemon, name)
        except BaseException:
            self._undo(checkpoint, look)
            raise
        if claim is not None and not claim.is_first:
            self._undo(checkpoint, look)
            return self.later(place, spec, claim)
        return FirstWatch(self, place, spec, daemon, checkpoint, look)

    def _claim(
        self, place: Place, spec: CommandSpec, daemon: str | None, checkpoint: str | None
    ) -> Claim | None:
        watched = (spec.key, self._worker_id) if spec.changes else None
        if spec.once:
            assert daemon is not None
            return self._once.claim(
                place.sandbox_id, spec.request_id, daemon, checkpoint=checkpoint, watched=watched
            )
        if watched is not None:
            self._kept.open(place.sandbox_id, *watched)
        return None

    def later(self, place: Place, spec: CommandSpec, claim: Claim) -> Watch:
        """Of a command that somebody else has started, with this claim."""
        return LaterWatch(self, place, spec, claim.daemon, claim.checkpoint)

    def _undo(self, checkpoint: Any, look: Any) -> None:
        if look is not None:
            self._looks.drop(look)
        if checkpoint is not None:
            self._give_up(checkpoint)

    # --- for watches ---------------------------------------------------------------------------

    def found_out(self, place: Place, spec: CommandSpec, look: Any) -> CommandEffects:
        """What it changed, by whoever looked before; it is written down. Raises nothing."""
        changes: dict[str, Any] | None = None
        missing: Missing | None = None
        try:
            changes = self._looks.changes_since(look)
        except GatewayError as error:
            log.warning("cannot tell what a command changed: %s", error)
            missing = "failed"
        self._tell(place, spec, changes)
        return CommandEffects(None, changes, missing)

    def lose(self, place: Place, spec: CommandSpec, look: Any) -> None:
        """It will not be known what it changed. Raises nothing."""
        self._looks.drop(look)
        self._tell(place, spec, None)

    def _tell(self, place: Place, spec: CommandSpec, changes: dict[str, Any] | None) -> None:
        try:
            size_bytes = 0 if changes is None else len(orjson.dumps(changes))
            self._kept.tell(place.sandbox_id, spec.key, changes, size_bytes)
        except GatewayError as error:
            log.warning("what a command changed is not kept: %s", error)

    def not_started(self, place: Place, spec: CommandSpec, checkpoint: Any, look: Any) -> None:
        """It was refused, or never handed over. What a `once` command was given stays, for whoever
        sends it again. Raises nothing."""
        try:
            if spec.once:
                if look is not None:
                    self.lose(place, spec, look)
                return
            self._undo(checkpoint, look)
            if look is not None:
                self._kept.forget(place.sandbox_id, spec.key)
        except GatewayError as error:
            log.warning("a checkpoint stays without its command: %s", error)

    def leave(self, place: Place, spec: CommandSpec, daemon: str | None, look: Any) -> None:
        """Find out what it changed when it has ended, for nobody waits for it. Does not block."""
        self._unattended.spawn(self._when_ended, place, spec, daemon, look)

    def _when_ended(self, place: Place, spec: CommandSpec, daemon: str | None, look: Any) -> None:
        try:
            self._wait_until_ended(place, spec.key, daemon, spec.user)
        except GatewayError as error:
            log.info("it cannot be known what a command changed: %s", error)
            self.lose(place, spec, look)
        except BaseException:
            self._looks.drop(look)
            raise
        else:
            self.found_out(place, spec, look)

    # --- of commands that somebody else started ------------------------------------------------

    def read(
        self, place: Place, key: str, checkpoint: str | None, *, is_asked: bool
    ) -> CommandEffects:
        """What is known of a command that has ended. `is_asked`: its changes are asked for.
        Raises nothing."""
        try:
            changes, missing = self._read(place.sandbox_id, key, "forgotten" if is_asked else None)
        except GatewayError as error:
            log.warning("what a command changed cannot be read: %s", error)
            changes, missing = None, "failed" if is_asked else None
        return CommandEffects(checkpoint, changes, missing)

    def _read(
        self, sandbox_id: str, key: str, if_nothing: Missing | None
    ) -> tuple[dict[str, Any] | None, Missing | None]:
        deadline = time.monotonic() + TOLD_WITHIN_S
        while True:
            noted = self._kept.of(sandbox_id, key)
            if noted is None:
                return None, if_nothing
            if noted.changes is not None:
                return dict(noted.changes), None
            is_late = time.monotonic() > deadline
            if noted.worker_id is None or is_late or not self._is_alive(noted.worker_id):
                return None, "lost"
            gevent.sleep(LOOK_S)
